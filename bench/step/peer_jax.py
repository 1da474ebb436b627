"""JAX as a contestant: jax NETWORK BATCH CHANNELS SIZE FEATURES, see worker.cpp. One jitted function is
the whole step, AdamW included, with donated state; channels-last, which is XLA's faster way on a CPU."""
import sys

import jax
import jax.numpy as jnp
from jax import lax

from serve import serve, start_of_peak


def init_conv(key, i, o, ks, norm=True):
    bound = 1 / (i * ks * ks) ** 0.5
    p = {"w": jax.random.uniform(key, (ks, ks, i, o), minval=-bound, maxval=bound)}
    return p | ({"scale": jnp.ones(o), "bias": jnp.zeros(o)} if norm else {"b": jnp.zeros(o)})


def convolve(x, w, stride):
    pad = w.shape[0] // 2
    return lax.conv_general_dilated(x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def relu(x):
    return jnp.where(x > 0, x, 0.1 * x) - 0.4


def conv(p, x, stride, act):
    """Returns the output and the batch's statistics, which the running ones need."""
    x = convolve(x, p["w"], stride)
    x = relu(x) if act else x
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"], (mean, var)


def pool(x):
    ceil = [(0, 0)] + [(0, s % 2) for s in x.shape[1:3]] + [(0, 0)]
    window = dict(window_dimensions=(1, 2, 2, 1), window_strides=(1, 2, 2, 1), padding=ceil)
    count = lax.reduce_window(jnp.ones_like(x[:1, :, :, :1]), 0.0, lax.add, **window)
    return lax.reduce_window(x, 0.0, lax.add, **window) / count


def block(name, p, x, stride, act):
    if name == "conv":
        x, seen = conv(p["a"], x, stride, act)
        return x, [seen]
    y, seen_a = conv(p["a"], x, 1, act)
    y, seen_b = conv(p["b"], y, stride, act and name == "double")
    if name == "residual":
        y = y + convolve(pool(x) if stride == 2 else x, p["id"]["w"], 1) + p["id"]["b"]
        y = relu(y) if act else y
    return y, [seen_a, seen_b]


def init(name, key, sizes):
    params = []
    for k, (i, o) in enumerate(zip(sizes, sizes[1:])):
        ks, keys = 5 if k == 0 else 3, jax.random.split(jax.random.fold_in(key, k), 3)
        p = {"a": init_conv(keys[0], i, o, ks)}
        if name != "conv":
            p["b"] = init_conv(keys[1], o, o, ks)
        if name == "residual":
            p["id"] = init_conv(keys[2], i, o, 1, norm=False)
        params.append(p)
    return params


def main(_, name, batch, channels, size, features):
    sizes = [int(channels), *map(int, features.split(",")), 10]
    key = jax.random.PRNGKey(0)
    x = jax.random.normal(key, (int(batch), int(size), int(size), int(channels)))
    y = jax.random.randint(key, (int(batch),), 0, 10)
    before = start_of_peak()
    params = init(name, key, sizes)

    def forward(params, x):
        seen = []
        for k, p in enumerate(params):
            x, more = block(name, p, x, 1 if k == 0 else 2, k + 1 < len(params))
            seen += more
        return x.reshape(x.shape[0], -1), seen

    def loss(params, x, y):
        logits, seen = forward(params, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), seen

    def train(params, m, v, running, t, x, y, lr=1e-3, b1=0.9, b2=0.999, decay=1e-2):
        (_, seen), g = jax.value_and_grad(loss, has_aux=True)(params, x, y)
        tree = jax.tree_util.tree_map
        m = tree(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = tree(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
        params = tree(lambda p, m, v: p * (1 - lr * decay) - lr * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + 1e-8),
                      params, m, v)
        running = tree(lambda old, new: 0.9 * old + 0.1 * new, running, seen)
        return params, m, v, running, t + 1

    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    running = jax.tree_util.tree_map(lambda s: jnp.zeros(s.shape), jax.eval_shape(forward, params, x)[1])
    state = [params, zeros, jax.tree_util.tree_map(jnp.zeros_like, params), running, jnp.ones(())]
    train, infer = jax.jit(train, donate_argnums=(0, 1, 2, 3)), jax.jit(lambda params, x: forward(params, x)[0])

    def step():
        state[:] = train(*state, x, y)
        jax.block_until_ready(state)

    serve(jax.__version__, step, lambda: jax.block_until_ready(infer(state[0], x)), before)


if __name__ == "__main__":
    main(*sys.argv[1:])
