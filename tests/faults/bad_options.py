"""Command lines and option files that must be refused, each a function of (seed, index).

Yields (what is wrong, arguments, text of the option file or None). In arguments {config} stands for
the file, {data} for a sound data set, {output} for a run folder that must not appear.
"""

import random

# The options of `train` by what they take.
COUNTS = ["epochs", "batch-size", "grad-accum-steps"]  # 1 or more
INTEGERS = [*COUNTS, "seed", "threads", "patience"]
NUMBERS = ["lr", "weight-decay", "momentum", "clip-grad", "warmup-epochs", "model-ema-decay",
           "holdout"]
CHOICES = {"model": ["alexnet", "", "CNN", "residual-cnn", "cnn "], "opt": ["lion", "AdamW", "sgd,"],
           "sched": ["one_cycle", "linear", "ONECYCLE"], "engine": ["cuda", "Torch", "fast"], "amp": ["bfloat16", "fp16", "BF16"],
           "device": ["gpu", "cuda:x", "CPU"], "stats": ["some", "Moments", "3"]}
FLAGS = ["no-shuffle", "no-decay-norms", "deterministic", "overwrite", "tensorboard", "no-plot"]
OPTIONS = [*INTEGERS, *NUMBERS, *CHOICES, *FLAGS, "nfs", "output", "data"]

NOT_INTEGERS = ["", " ", "two", "1.5", "1e3", "--", "0x", "1,000", "1_000", "+-1", "9" * 30, "-" + "9" * 30,
                "1 2", "٣", "½", "1\n", "nan", "inf", "1;rm", "%d", "\x1b[31m1", "NULL", "None", "1\t1"]
NOT_NUMBERS = ["", " ", "fast", "0.1.2", "1e", "--", "1e999", "-1e999", "0,1", "1 2", "٣", "½",
               "0.1\n", "0.1\x07", "%f", "None", "lr", "1e-3e", "\x1b[2J"]
BELOW_RANGE = ["-1", "-0.5", "-1e300", "nan", "inf", "-inf", "NaN", "-nan"]
RUN_COMMANDS = ["report", "plot", "diagnose"]


def near(random_, name):
    """A name that is not an option's, but almost."""
    place = random_.randrange(len(name))
    return random_.choice([name.upper(), name.replace("-", "_") + "_", name + "s", name[:place] + name[place + 1:] + "q",
                           name + name, name[::-1] + "x", name + "\n", name + "é", " " + name])


def bad_integer(random_):
    name = random_.choice(INTEGERS)
    if name in COUNTS and random_.random() < 0.3:
        return name, random_.choice(["0", "-1", "-9223372036854775808"])
    if random_.random() < 0.1:
        return random_.choice([("epochs", "9223372036854775807"), ("epochs", "4611686018427387904"),
                               ("batch-size", "9223372036854775807"), ("threads", "2147483647"),
                               ("threads", "-1"), ("patience", "-2"), ("seed", "-1"),
                               ("threads", "4294967297"), ("batch-size", "1000001"),
                               ("grad-accum-steps", "9223372036854775807")])
    return name, random_.choice(NOT_INTEGERS)


def bad_number(random_):
    name = random_.choice(NUMBERS)
    if random_.random() < 0.1:
        return random_.choice([("holdout", "1"), ("holdout", "0.9999999"), ("momentum", "1"), ("lr", "0"),
                               ("model-ema-decay", "1.5"), ("warmup-epochs", "1e300")])
    return name, random_.choice(NOT_NUMBERS + BELOW_RANGE)


def bad_choice(random_):
    name = random_.choice(list(CHOICES))
    return name, random_.choice(CHOICES[name] + ["\n", "\x00"[:0] + "ü" * 300, "a" * 5000, "../" * 20])


def bad_pair(random_):
    return random_.choice([bad_integer, bad_number, bad_choice])(random_)


def written(random_, name, value):
    return [f"--{name}={value}"] if value.startswith("-") or random_.random() < 0.5 else [f"--{name}", value]


TRAIN = ["train", "--data", "{data}", "--output", "{output}"]


def command_line(random_):
    kind = random_.randrange(12)
    if kind <= 3:
        name, value = bad_pair(random_)
        return f"--{name}", TRAIN + written(random_, name, value)
    if kind == 4:
        return "an option that is none", TRAIN + ["--" + near(random_, random_.choice(OPTIONS))] + random_.choice([[], ["1"]])
    if kind == 5:
        return "a value missing", TRAIN + ["--" + random_.choice(INTEGERS + NUMBERS + list(CHOICES) + ["nfs"])]
    if kind == 6:
        return "an argument too many", TRAIN + [random_.choice(["now", "3", "--", "-", "cnn", "x=1"]), "again"]
    if kind == 7:
        return "a flag with a value", TRAIN + [f"--{random_.choice(FLAGS)}={random_.choice(['perhaps', '2.5x', 'ja', '{}'])}"]
    if kind == 8:
        return "no command", random_.choice([[], ["fly"], ["Train"], ["train "], [""], ["--lr", "1"], ["-x"], ["trains"],
                                             ["\n"], ["train", "summary"], ["--", "train"], ["models", "models"]])
    if kind == 9:
        command = random_.choice(RUN_COMMANDS)
        target = random_.choice([[], ["/nowhere/run"], ["{data}"], [""], ["{data}/none", "--what", "loss"], ["/dev/null"],
                                 ["--output"], ["a\nb"]])
        return f"{command} of no run", [command, *target]
    if kind == 10:
        return "summary", ["summary", *random_.choice([
            ["--input", "1x28"], ["--input", "ax28x28"], ["--input", ""], ["--input", "0x28x28"], ["--input", "1x28x28x1"],
            ["--input", "1x-28x28"], ["--input", "9999999x1x1"], ["--batch-size", "0"], ["--batch-size", "many"],
            ["--num-classes", "0"], ["--num-classes", "-1"], ["--model", "alexnet"], ["--nfs", "0"], ["--nfs", "a,b"],
            ["--nfs", ""], ["--compat", "--shapes"], ["--input", "1x64x64", "--model", "cnn"], ["--colour"]])]
    return "features", TRAIN + [random_.choice([
        "--nfs=", "--nfs=0", "--nfs=-1,2,3,4", "--nfs=a", "--nfs=1.5", "--nfs=8,,16", "--nfs=,", "--nfs=8;16", "--nfs=4,4",
        "--nfs=9223372036854775808", "--nfs=9223372036854775807,8,8,8", "--nfs=8,99999999999,8,8"])]


def config_line(random_):
    kind = random_.randrange(9)
    if kind <= 3:
        name, value = bad_pair(random_)
        if any(character in value for character in "\n\t#;") or value.strip() == "" or value in ("--",):
            value = "worse"
        return f"{name} = {value}", f"{name} = {value}\n"
    name = near(random_, random_.choice(OPTIONS)).strip().replace("\n", "n")
    return random_.choice([
        ("unknown name", f"{name} = 1\n"),
        ("a section", "[train]\nlr = 0.1\n"),
        ("an unfinished section", "[train\nlr = 0.1\n"),
        ("no value", f"{random_.choice(NUMBERS)} =\n"),
        ("no name", "= 0.1\n"),
        ("no equals sign", f"{random_.choice(NUMBERS)} 0.1\n"),
        ("a list for a number", f"{random_.choice(NUMBERS)} = [0.1, 0.2\n"),
        ("an unfinished text", "model = \"residual_cnn\nlr = 0.1\n"),
        ("JSON", "{\"lr\": 0.1}\n"), ("YAML", "lr: 0.1\nepochs: 3\n"),
        ("another file", "config = other.ini\n"), ("help", "help = true\nlr = x\n"),
        ("HTML", "<!DOCTYPE html>\n<html><body>404</body></html>\n"),
        ("a flag with a number", f"{random_.choice(FLAGS)} = 7.5\n"),
    ])


def config_file(random_):
    sound = random_.choice(["", "epochs = 1\n", "# a remark\n\nlr = 0.01\n", "model = cnn\nopt = sgd\n"])
    kind = random_.randrange(10)
    if kind == 0:
        what, text = "noise", bytes(random_.choice([b for b in range(256)]) for _ in range(random_.randint(20, 400)))
        return what, b"\x00\xff = " + text
    if kind == 1:
        return random_.choice([("long line", b"x" * 200_000 + b" = 1\n"), ("long value", b"model = " + b"y" * 200_000),
                               ("too long", b"# remark\n" * 150_000), ("many lines", b"lr = 0.1x\n" * 20_000),
                               ("NUL", b"lr\x00 = 0.1\n"), ("UTF-16", "lr = 0.1\n".encode("utf-16")),
                               ("brackets", b"lr = " + b"[" * 50_000), ("quotes", b"lr = " + b"\"" * 50_001)])
    what, text = config_line(random_)
    return what, (sound + text).encode()


def cases(count, seed):
    for index in range(count):
        random_ = random.Random(f"options/{seed}/{index}")
        if random_.random() < 0.5:
            what, arguments = command_line(random_)
            yield what, arguments, None
        elif random_.random() < 0.06:
            yield "a file that is none", TRAIN + random_.choice([
                ["--config"], ["--config", "{data}"], ["--config", "/nowhere.ini"], ["--config="], ["--config", "/dev/zero"],
                ["--config", ""]]), None
        else:
            what, text = config_file(random_)
            yield what, TRAIN + ["--config", "{config}"], text
