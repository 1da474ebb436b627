// Draws the report's plots: each <div class="view" data-spec="ID"> from the Vega-Lite document in
// <script type="application/json" id="ID">, in the page's colours and to the page's width.
(function () {
  'use strict';

  // Colours of the documents' theme → variables of page.css: dark, light and paper need no redraw.
  const COLOURS = {
    '#E5E5E5': 'panel', '#FFFFFF': 'grid', '#333333': 'plot-text', '#555555': 'plot-soft',
    '#7F7F7F': 'tick', '#E24A33': 's0', '#348ABD': 's1', '#7F6FC7': 's2', '#C98A00': 's4',
    '#5E8C1B': 's5', '#D0607A': 's6', '#9A9A9A': 'raw'
  };
  const MANY_MARKS = 3000;  // drawn on a canvas, which knows no variables
  const CANVAS_COLOUR = '#7d8288';  // readable on dark, light and paper
  const COLUMN_MIN = 270;

  const views = [];
  window.fatwoodViews = views;

  function documentOf(element) {
    return JSON.parse(document.getElementById(element.dataset.spec).textContent);
  }

  function points(spec) {
    const values = (spec.data || (spec.layer && spec.layer[0].data) || {}).values || [];
    let count = 0;
    for (const row of values) count += (row.h || row.x || [0]).length || 1;
    return count;
  }

  function themed(spec, canvas) {
    const config = spec.config;
    let text = JSON.stringify(spec);
    if (canvas) {
      for (const part of ['axis', 'legend', 'header', 'title']) {
        for (const key of ['labelColor', 'titleColor', 'color', 'tickColor'])
          if (config[part] && config[part][key]) config[part][key] = CANVAS_COLOUR;
      }
      text = JSON.stringify(spec);
    } else {
      // The palette's grey is a series, not text.
      const grey = config.range.category.indexOf('#555555');
      spec.config.range.category[grey] = 'var(--s3)';
      text = JSON.stringify(spec).replace(/"(#[0-9A-F]{6})"/g, (whole, hex) =>
        COLOURS[hex] ? `"var(--${COLOURS[hex]})"` : whole);
    }
    const result = JSON.parse(text);
    result.background = null;
    result.config.background = null;
    delete result.title;  // the figure has a heading
    return result;
  }

  // Widths of panels are inner widths: what axes take is only known once drawn, so a second pass
  // corrects the first.
  function sized(spec, width, inner) {
    spec = JSON.parse(JSON.stringify(spec));
    if (spec.facet) {
      const most = spec.columns || 1;
      const least = most > 2 && width > 330 ? 2 : 1;
      spec.columns = Math.max(Math.min(most, Math.floor(width / COLUMN_MIN)), least);
      spec.spec.width = Math.max(inner || (width / spec.columns - 60), 60);
    } else {
      spec.width = width;
      if (spec.height && spec.height.step) {  // a matrix: rows of their own height, not too wide
        spec.width = Math.min(width, 720);
        spec.height = spec.height.step * spec.encoding.y.sort.length + 90;
      }
      spec.autosize = { type: 'fit', contains: 'padding' };
    }
    spec.config.legend.columns = Math.max(1, Math.min(6, Math.floor(width / 170)));
    return spec;
  }

  async function view(spec, element, renderer) {
    const compiled = vegaLite.compile(spec, { logger: vega.logger(vega.Warn) }).spec;
    const drawn = new vega.View(vega.parse(compiled), { renderer, hover: true })
      .tooltip(tooltip).initialize(element);
    await drawn.runAsync();
    return drawn;
  }

  async function draw(element) {
    const source = documentOf(element);
    const canvas = points(source) > MANY_MARKS && !!source.facet && source.spec.mark.type === 'rect';
    const spec = themed(source, canvas);
    const renderer = canvas ? 'canvas' : 'svg';
    const width = Math.max(element.clientWidth, 200);
    if (element.fatwoodView) element.fatwoodView.finalize();
    const first = sized(spec, width);
    let drawn = await view(first, element, renderer);
    if (first.facet) {
      const bounds = drawn.scenegraph().root.bounds;
      const excess = bounds.width() + 12 - width;
      if (Math.abs(excess) > 4) {
        drawn.finalize();
        drawn = await view(sized(spec, width, first.spec.width - excess / first.columns), element, renderer);
      }
    }
    element.fatwoodView = drawn;
    const name = element.dataset.spec;
    const at = views.findIndex(entry => entry.name === name);
    const entry = { name, view: drawn };
    if (at < 0) views.push(entry); else views[at] = entry;
  }

  async function drawAll() {
    for (const element of document.querySelectorAll('.view')) {
      try {
        if (element.offsetParent !== null) await draw(element);
      } catch (error) {
        element.textContent = 'This plot could not be drawn: ' + error.message;
        console.error(element.dataset.spec, error);
      }
    }
    document.documentElement.dataset.plots = 'done';
  }

  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  tip.setAttribute('role', 'tooltip');

  function tooltip(handler, event, item, value) {
    if (value === null || value === undefined || value === '') { tip.hidden = true; return; }
    tip.replaceChildren();
    if (typeof value === 'object') {
      const table = document.createElement('table');
      for (const [key, text] of Object.entries(value)) {
        const row = table.insertRow();
        row.insertCell().textContent = key;
        row.insertCell().textContent = text;
      }
      tip.append(table);
    } else {
      tip.textContent = value;
    }
    tip.hidden = false;
    const x = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 6);
    const y = event.clientY + 18 + tip.offsetHeight > window.innerHeight
      ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
    tip.style.left = Math.max(x, 4) + 'px';
    tip.style.top = y + 'px';
  }

  function save(name, url) {
    const link = document.createElement('a');
    link.href = url;
    link.download = name;
    link.click();
  }

  function saveText(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    save(name, url);
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  // The document's own look, not the page's.
  async function plain(element) {
    const compiled = vegaLite.compile(documentOf(element)).spec;
    return new vega.View(vega.parse(compiled), { renderer: 'none' }).runAsync();
  }

  function fillTable(details, element) {
    if (details.querySelector('table')) return;
    const spec = documentOf(element);
    const source = spec.data || spec.layer[0].data;
    const rows = [];
    for (const value of source.values) {
      const many = Object.keys(value).filter(key => Array.isArray(value[key]));
      const length = many.length ? value[many[0]].length : 1;
      for (let i = 0; i < length; ++i) {
        const row = {};
        for (const key of Object.keys(value)) row[key] = many.includes(key) ? value[key][i] : value[key];
        rows.push(row);
      }
    }
    const MOST = 400;
    const every = Math.ceil(rows.length / MOST);
    const table = document.createElement('table');
    const caption = table.createCaption();
    caption.textContent = rows.length + ' points' + (every > 1 ? ', every ' + every + 'th shown' : '');
    const head = table.createTHead().insertRow();
    const keys = rows.length ? Object.keys(rows[0]) : [];
    for (const key of keys) {
      const cell = document.createElement('th');
      cell.scope = 'col';
      cell.textContent = key;
      head.append(cell);
    }
    const body = table.createTBody();
    for (let i = 0; i < rows.length; i += every) {
      const line = body.insertRow();
      for (const key of keys) line.insertCell().textContent = rows[i][key] === null ? '–' : rows[i][key];
    }
    const box = document.createElement('div');
    box.className = 'scroll';
    box.tabIndex = 0;
    box.append(table);
    details.append(box);
  }

  function addTools(element) {
    const name = element.dataset.spec;
    const tools = document.createElement('div');
    tools.className = 'tools';
    const button = (text, label, action) => {
      const made = document.createElement('button');
      made.type = 'button';
      made.textContent = text;
      made.setAttribute('aria-label', label);
      made.addEventListener('click', action);
      tools.append(made);
    };
    button('SVG', 'Save this plot as SVG', async () =>
      saveText(name + '.svg', 'image/svg+xml', await (await plain(element)).toSVG()));
    button('PNG', 'Save this plot as PNG', async () =>
      save(name + '.png', await (await plain(element)).toImageURL('png', 2)));
    button('Vega-Lite', 'Save this plot’s specification', () =>
      saveText(name + '.vl.json', 'application/json', JSON.stringify(documentOf(element), null, 1)));
    const details = document.createElement('details');
    const summary = document.createElement('summary');
    summary.textContent = 'Numbers';
    details.append(summary);
    details.addEventListener('toggle', () => details.open && fillTable(details, element));
    tools.append(details);
    element.closest('figure').append(tools);
  }

  function themeButton() {
    const button = document.getElementById('theme');
    const order = ['', 'dark', 'light'];
    const names = { '': 'automatic', dark: 'dark', light: 'light' };
    const show = theme => {
      if (theme) document.documentElement.dataset.theme = theme;
      else delete document.documentElement.dataset.theme;
      button.textContent = 'Colours: ' + names[theme];
    };
    const wanted = location.hash === '#dark' || location.hash === '#light' ? location.hash.slice(1) : '';
    show(wanted);
    button.hidden = false;
    button.addEventListener('click', () => {
      const now = document.documentElement.dataset.theme || '';
      show(order[(order.indexOf(now) + 1) % order.length]);
    });
  }

  document.body.append(tip);
  themeButton();
  document.querySelectorAll('.view').forEach(addTools);
  document.querySelectorAll('details.run').forEach(details =>
    details.addEventListener('toggle', () => details.open && drawAll()));
  let timer = 0;
  let lastWidth = window.innerWidth;
  window.addEventListener('resize', () => {
    if (window.innerWidth === lastWidth) return;  // a phone's address bar
    lastWidth = window.innerWidth;
    clearTimeout(timer);
    timer = setTimeout(drawAll, 200);
  });
  drawAll();
})();
