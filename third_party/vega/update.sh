#!/bin/sh
# Brings the vendored Vega runtime to the versions given, with its licences:
#     third_party/vega/update.sh VEGA_VERSION VEGA_LITE_VERSION
# Needs npm. The two files are those of the packages, byte for byte.
set -eu
vega=${1:?version of vega}
lite=${2:?version of vega-lite}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
seen_folders=''
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --omit=dev "vega@$vega" "vega-lite@$lite"

cp node_modules/vega/build/vega.min.js "$here/vega.min.js"
cp node_modules/vega-lite/build/vega-lite.min.js "$here/vega-lite.min.js"

# What the two files bundle: every dependency that is a library (vega-lite's command line tools,
# yargs and what it needs, are not in them).
{
  echo "Licences of vega $vega and vega-lite $lite and of the packages that their minified files bundle."
  for folder in node_modules/vega node_modules/vega-lite node_modules/vega-* node_modules/d3-* \
                node_modules/delaunator node_modules/internmap node_modules/topojson-client \
                node_modules/robust-predicates node_modules/json-stringify-pretty-compact; do
    case " $seen_folders " in *" $folder "*) continue ;; esac
    seen_folders="$seen_folders $folder"
    file=$(find "$folder" -maxdepth 1 -iname 'licen*' | head -n 1)
    [ -n "$file" ] || continue
    printf '\n==== %s %s\n\n' "$(basename "$folder")" \
      "$(node -p "require('./$folder/package.json').version")"
    cat "$file"
  done
} > "$here/LICENSES.txt"

cat > "$here/VERSION" <<VERSIONS
vega $vega
vega-lite $lite
VERSIONS
(cd "$here" && sha256sum vega.min.js vega-lite.min.js > SHA256SUMS)
