#!/usr/bin/env python3
# labels: slow
"""What the program refuses: one row a bad input, with all that it says on standard error and its exit code (2: it was
called in a wrong way, 1: it failed). Each row runs in an empty folder; afterwards not a byte on disk has changed."""
import collections
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

from support.bad_inputs import (contents, flipped, link_to, odd_class, only_sound, pattern_of, pictures, run, run_in_use,
                                video, video_cut, weights)

PROGRAM = os.path.abspath(os.environ["KINEMA_PROGRAM"])
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")} | {"OMP_NUM_THREADS": "1"}

# What all rows share lies beside their folder: ../motion (12 classes), ../two (left and right of it, 2 clips each),
# ../run (a network trained on them).
SMALL = "--model slow_fusion --frames 6 --size 32 --widths 4,6 --epochs 2 --batch 4"
TRAIN = f"train --run new {SMALL} --quiet --data ../two"  # an option that follows again wins
EVAL = "eval --data ../two --run ../run"
PREDICT = "predict --run ../run"

Row = collections.namedtuple("Row", "name command code sentence files before", defaults=({}, ""))
# files   what the row's folder holds: contents, None for a folder, or a function of the shared folder and the path
# before  lines of standard error before the sentence

W = "--weights w.safetensors"
NETWORKS = ("early_fusion, karpathy_early_fusion, karpathy_late_fusion, karpathy_single_frame, karpathy_slow_fusion, "
            "late_fusion_fc, late_fusion_pool, single_frame, slow_fusion")
NO_VIDEO = "is no video that FFmpeg can read (Invalid data found when processing input)"

USAGE = [
    Row("unknown command", "trian", 2, "unknown command 'trian'; did you mean 'train'?"),
    Row("unknown topic", "visualize filter", 2, "unknown visualize topic 'filter'; did you mean 'filters'?"),
    Row("unknown option, near", "train --epoch 3", 2, "unknown option '--epoch'; did you mean '--epochs'?"),
    Row("unknown option with a value", "train --dta=x", 2, "unknown option '--dta'; did you mean '--data'?"),
    Row("unknown negation", "train --no-flop", 2, "unknown option '--no-flop'; did you mean '--no-flip'?"),
    Row("unknown option, far", "train --xyzzy", 2, "unknown option '--xyzzy'; 'kinema train --help' lists all"),
    Row("unknown option of doctor", "doctor --jsn", 2, "unknown option '--jsn'; did you mean '--json'?"),
    Row("option of another command", "report --epochs 3", 2, "unknown option '--epochs'; 'kinema report --help' lists all"),
    Row("one argument too many", "summary slow_fusion more", 2,
        "unexpected argument 'more'; 'kinema summary --help' lists what it takes"),
    Row("unknown model", f"{TRAIN} --model slowfusion", 2, "unknown model 'slowfusion'; did you mean 'slow_fusion'?"),
    Row("unknown model of summary", "summary slow_fuson", 2, "unknown model 'slow_fuson'; did you mean 'slow_fusion'?"),
    Row("unknown value", "train --schedule cosin", 2, "--schedule: unknown value 'cosin'; did you mean 'cosine'?"),
    Row("unknown type", f"{EVAL} --dtype f61", 2, "--dtype: unknown value 'f61'; did you mean 'f16'?"),
    Row("no data", "train", 2, "train: name a folder with one folder of videos a class, or a CSV list, with --data"),
    Row("no network", "train --data ../two", 2, f"train: name a network with --model: {NETWORKS}"),
    Row("no data to evaluate", "eval", 2, "eval: name a folder with one folder of videos a class, or a CSV list, with --data"),
    Row("no video", "predict", 2, "predict: expected a video FILE"),
    Row("no trained network", "predict x.mp4", 2, "name the trained network with --run FOLDER or --weights FILE"),
    Row("no network to summarise", "summary", 2, "summary: expected the name of a MODEL"),
    Row("no folder to generate", "generate motion", 2, "generate: name the folder to write with --out"),
    Row("unknown kind to generate", "generate emotion", 2, "generate: expected what to generate, 'motion', got 'emotion'"),
    Row("no run to report", "report", 2, "report: expected the FOLDER of a run"),
    Row("no pictures to write", "visualize filters", 2,
        "visualize: name the folder to write filters.gif and filters.png to with --out, or files with --gif and --png"),
    Row("option without value", "train --epochs", 2, "--epochs needs a value"),
    Row("both of a flag", "train --flip --no-flip", 2, "give either --flip or --no-flip"),
    Row("two held-out sets", f"{TRAIN} --val ../two --val-fraction 0.5", 2, "train: give either --val or --val-fraction"),
    Row("option of another optimiser", f"{TRAIN} --beta1 0.5", 2, "--beta1 belongs to --optimiser adamw"),
    Row("option of sgd", f"{TRAIN} --optimiser adamw --momentum 0.5", 2, "--momentum belongs to --optimiser sgd"),
    Row("table without times", f"{PREDICT} ../two/left/00000.mp4 --csv x.csv", 2,
        "predict: --csv needs --every, the seconds between scores"),
    Row("one video for two files", f"{PREDICT} a.mp4 b.mp4 --video x.mp4", 2, "predict: --video takes one FILE, got 2"),
    Row("video over itself", f"{PREDICT} x.mp4 --video x.mp4", 2, 'predict: --video would overwrite its own FILE "x.mp4"',
        {"x.mp4": video}),
]

NUMBERS = [
    Row("no number", "train --epochs many", 2, "--epochs takes a whole number, got 'many'"),
    Row("no whole number", "train --epochs 2.5", 2, "--epochs takes a whole number, got '2.5'"),
    Row("empty number", "train --epochs ''", 2, "--epochs takes a whole number, got ''"),
    Row("too small", "train --batch 0", 2, "--batch must be at least 1, got 0"),
    Row("too large", f"{TRAIN} --threads 999999", 2, "--threads must be at most 1024, got 999999"),
    Row("larger than 64 bits", "train --epochs 99999999999999999999", 2,
        "--epochs must be at most 1000000000, got 99999999999999999999"),
    Row("smaller than 64 bits", "train --seed=-99999999999999999999", 2,
        "--seed must be at least 0, got -99999999999999999999"),
    Row("not a number", "train --lr nan", 2, "--lr takes a number, got 'nan'"),
    Row("infinite", "train --lr inf", 2, "--lr takes a number, got 'inf'"),
    Row("beyond doubles", "train --lr 1e400", 2, "--lr takes a number between 2.3e-308 and 1.8e308, got 1e400"),
    Row("negative", "train --lr=-1", 2, "--lr must be at least 0, got -1"),
    Row("share of all", f"{TRAIN} --val-fraction 1", 2, "--val-fraction must be below 1, got 1"),
    Row("dropout of all", f"{TRAIN} --dropout 1", 2, "--dropout must be below 1, got 1"),
    Row("list of no numbers", "train --widths 12,x", 2,
        "--widths takes whole numbers separated by commas, as in 12,24, got '12,x'"),
    Row("list of large numbers", "train --widths 12,99999999999999999999", 2,
        "--widths takes numbers up to 65536, got '12,99999999999999999999'"),
    Row("no size", "summary slow_fusion --size 64y", 2,
        "--size takes pixels as in 64, or height x width as in 64x96, got '64y'"),
    Row("huge size", "summary slow_fusion --size 64x99999", 2, "--size must be at most 16384 pixels a side, got '64x99999'"),
    Row("odd size of clips", "generate motion --out x --size 17", 2, "motion: size must be even and 16 to 4096 pixels, got 17"),
    Row("no frame rate", "generate motion --out x --fps 0", 2, "motion: fps must be above 0 and at most 1000, got 0"),
    Row("frames below the kernel", f"{TRAIN} --model karpathy_slow_fusion --size 20 --widths 4,4,4,4,4", 2,
        "karpathy_slow_fusion: 6 frames of 20x20 are too few or too small: nothing is left behind conv3"),
    Row("clip below the kernel", "summary karpathy_slow_fusion --frames 1", 2,
        "karpathy_slow_fusion: 1 frames of 170x170 are too few or too small: nothing is left behind conv1"),
    Row("widths of another network", "summary karpathy_slow_fusion --widths 4", 2,
        "karpathy_slow_fusion: expected five widths, got 1"),
    Row("resize below the crop", f"{TRAIN} --short-side 16", 2, "recipe: short_side 16 is below the crop of 32x32"),
    Row("cap below a batch", f"{TRAIN} --memory-cap-mb 1 --frames 20 --size 64", 1,
        "loader: one batch takes 3932192 bytes, more than the memory cap of 1048576; take a smaller batch or a larger cap"),
    Row("cap below the views", f"{EVAL} --memory-cap-mb 1 --clips 1000", 1,
        "loader: 16 views take 1179776 bytes, more than the memory cap of 1048576; take a smaller batch or a larger cap"),
    Row("more than the memory", f"{TRAIN} --widths 65536,65536", 1,
        "memory: could not allocate 463856467968 bytes; tensors hold <N> of <N>; use a smaller batch, fewer frames or "
        "smaller frames"),
]

OPTIONS = "summary slow_fusion --config o.toml"
TOML = [
    Row("no file", OPTIONS, 2, 'config: no such file: "o.toml"'),
    Row("folder", "summary slow_fusion --config ../two", 2, 'config: expected a file, got a folder: "../two"'),
    Row("unknown key", OPTIONS, 2, "config: \"o.toml\" line 2: unknown key 'frame'; did you mean 'frames'?",
        {"o.toml": "size = 32\nframe = 8\n"}),
    Row("unknown table", OPTIONS, 2,
        "config: \"o.toml\" line 1: unknown key 'train'; known: 'frames', 'size', 'widths', 'hidden', 'batch-norm', "
        "'dropout', 'padding', 'multiresolution', 'dtype', 'classes', 'json'", {"o.toml": "[train]\nframes = 8\n"}),
    Row("table for a value", OPTIONS, 2, "config: \"o.toml\" line 1: 'frames' takes a value, not a table",
        {"o.toml": "frames = {a = 1}\n"}),
    Row("text for a number", OPTIONS, 2, "config: \"o.toml\" line 1: --frames takes a whole number, got 'x'",
        {"o.toml": "frames = 'x'\n"}),
    Row("number for a flag", OPTIONS, 2, "config: \"o.toml\" line 2: --batch-norm takes true or false, got '1'",
        {"o.toml": "\nbatch-norm = 1\n"}),
    Row("no value", OPTIONS, 2,
        "config: \"o.toml\" line 1: Error while parsing key-value pair: expected value, saw '\\n'", {"o.toml": "frames = \n"}),
    Row("key twice", OPTIONS, 2, "config: \"o.toml\" line 2: Error while parsing key-value pair: cannot redefine existing "
        "integer 'frames'", {"o.toml": "frames = 8\nframes = 9\n"}),
    Row("no text", OPTIONS, 2, 'config: "o.toml" line 1: Encountered invalid utf-8 sequence', {"o.toml": b"\xff\xfe"}),
]

DATA = [
    Row("no such folder", f"{TRAIN} --data none", 1, "data: no such folder: none"),
    Row("file that is no list", f"{TRAIN} --data d", 1, "data: d line 1: no comma in 'x'; expected path,label", {"d": "x"}),
    Row("no class folders", f"{TRAIN} --data d", 1,
        "data: d holds no class folders; put the videos of each class into a folder named after it", {"d": None}),
    Row("no videos", f"{TRAIN} --data d", 1, "data: no video in any class folder of d; expected files as in d/a/clip.mp4",
        {"d/a": None, "d/b": None}),
    Row("class without videos", f"{TRAIN} --data d", 1, "data: no video in d/b; add some or remove the folder",
        {"d/a/x.mp4": video, "d/b": None}),
    Row("classes with one clip", f"{TRAIN} --data d --val-fraction 0.5", 1,
        "train: --val-fraction 0.5 leaves 0 videos to train on and 2 to evaluate", {"d/a/x.mp4": video, "d/b/x.mp4": video}),
    Row("class name that is no text", f"{TRAIN} --data d", 1,
        "data: the name of the class folder 'l?ft' in d is no UTF-8 text; rename it", {"d": odd_class}),
    Row("held-out set of other classes", f"{TRAIN} --val d", 1, 'train: "d" has class \'up\', which the network does not know; it knows left, right',
        {"d/up/x.mp4": video}),
    Row("no such held-out set", f"{TRAIN} --val none", 1, "data: no such folder: none"),
    Row("classes that the network does not know", "eval --data ../motion --run ../run", 1,
        'eval: "../motion" has class \'approach\', which the network does not know; it knows left, right'),
]

LIST = f"{TRAIN} --data l.csv"
SPLIT = f"{TRAIN} --split s"
LISTS = [
    Row("line without comma", LIST, 1, "data: l.csv line 2: no comma in '../two/left/00000.mp4'; expected path,label",
        {"l.csv": "path,label\n../two/left/00000.mp4\n"}),
    Row("three fields", LIST, 1, "data: l.csv line 1: more than two fields in 'a.mp4,left,x'; expected path,label (in double "
        "quotes where a comma belongs to a field)", {"l.csv": "a.mp4,left,x\n"}),
    Row("open quote", LIST, 1, "data: l.csv line 1: the quote is not closed in '\"a.mp4,left'", {"l.csv": '"a.mp4,left\n'}),
    Row("no label", LIST, 1, "data: l.csv line 1: the label is empty in 'a.mp4,'", {"l.csv": "a.mp4,\n"}),
    Row("no lines", LIST, 1, "data: l.csv lists no videos; expected lines of path,label", {"l.csv": "path,label\n"}),
    Row("no text", LIST, 1, "data: l.csv line 1: this is no UTF-8 text; save the list as UTF-8", {"l.csv": b"a,l\xe9ft\n"}),
    Row("missing files", LIST, 1, "data: 2 of 3 videos of l.csv do not exist: a.mp4 (l.csv line 1), b.mp4 (l.csv line 3); paths "
        "count from . (see --root)", {"l.csv": "a.mp4,left\n../two/left/00000.mp4,left\nb.mp4,right\n"}),
    Row("two labels of a video", LIST, 1, "data: l.csv line 2: a.mp4 has another label than in line 1; several labels of a "
        "video stand in one line, as in a;b", {"l.csv": "a.mp4,left\na.mp4,right\n"}),
    Row("label twice", LIST, 1, "data: l.csv line 1: label 'left' comes twice", {"l.csv": "a.mp4,left;left\n"}),
    Row("unknown label", f"{LIST} --classes c.txt", 1, "data: l.csv line 1: unknown label 'lefft'; did you mean 'left'?",
        {"l.csv": "a.mp4,lefft\n", "c.txt": "left\nright\n"}),
    Row("class twice", f"{LIST} --classes c.txt", 1, "data: c.txt line 2: class 'left' stands in line 1 already",
        {"l.csv": "a.mp4,left\n", "c.txt": "left\nleft\n"}),
    Row("one video", f"{TRAIN} --data ../two/left/00000.mp4", 2,
        'train: "../two/left/00000.mp4" is one video; give a folder or a CSV list of videos'),
    Row("split and held-out set", f"{SPLIT} --val ../two", 2,
        "train: --split says what is held out; leave --val and --val-fraction away"),
    Row("no such fold", f"{SPLIT} --fold 2", 1, "data: s holds no split 2; expected UCF101's classInd.txt, trainlist02.txt and "
        "testlist02.txt, or HMDB51's CLASS_test_split2.txt", {"s/left_test_split1.txt": "00000.mp4 1\n"}),
    Row("line of a split", SPLIT, 1, "data: s/left_test_split1.txt line 1: expected 'VIDEO.avi 0', 1 or 2, got '00000.mp4 7'",
        {"s/left_test_split1.txt": "00000.mp4 7\n"}),
    Row("split without tests", SPLIT, 1, "data: split 1 in s marks no video for testing (2)",
        {"s/left_test_split1.txt": "00000.mp4 1\n"}),
    Row("class of a split", SPLIT, 1, "data: s/trainlist01.txt line 1: class 'up' does not stand in classInd.txt",
        {"s/classInd.txt": "1 left\n2 right\n", "s/trainlist01.txt": "up/0.mp4 1\n", "s/testlist01.txt": "left/1.mp4\n"}),
    Row("jitter of two numbers", f"{TRAIN} --colour-jitter 1,2", 2, "--colour-jitter takes 4 numbers, got 2"),
    Row("share that descends", f"{TRAIN} --crop-area 1,0.1", 2, "recipe: area must ascend within (0, 1], got 1 to 0.1"),
    Row("clip shorter than the network needs", "eval --data d --weights w.safetensors", 1,
        "data: 1 of 1 videos cannot be read, more than 1 in 20: data: a clip needs 11 frames, got 6 (in "
        "d/left/x.mp4)", {"d/left/x.mp4": video, "w.safetensors": weights(
            lambda file: file.run["recipe"].update(frame_stride=2, loop=False))}),
    Row("too many broken videos", "eval --run ../run --data d", 1,
        f"data: 1 of 2 videos cannot be read, more than 1 in 20: video: d/left/x.mp4 {NO_VIDEO}",
        {"d/left/x.mp4": "text\n", "d/left/y.mp4": video}),
    Row("damaged index, then a small cap", f"{TRAIN} --memory-cap-mb 1 --frames 20 --size 64 --index i", 1,
        "loader: one batch takes 3932192 bytes, more than the memory cap of 1048576; take a smaller batch or a larger cap",
        {"i": None}, 'train: warning: the index i is built anew: it is empty\ntrain: warning: the index i cannot be kept: '
        'write: could not replace "i": Is a directory\n'),
]

VIDEOS = [
    Row("none", f"{PREDICT} x.mp4", 1, "video: no such file: x.mp4"),
    Row("text", f"{PREDICT} x.mp4", 1, f"video: x.mp4 {NO_VIDEO}", {"x.mp4": "this is no video\n"}),
    Row("text among the data", f"{TRAIN} --data d", 1,
        f"data: 1 of 2 videos cannot be read, more than 1 in 20: video: d/a/x.mp4 {NO_VIDEO}",
        {"d/a/x.mp4": "this is no video\n", "d/b/y.mp4": video},
        "train: warning: 2 of 2 classes have a single video to train on: a, b\n"),
    Row("empty", f"{PREDICT} x.mp4", 1, "video: x.mp4 is empty", {"x.mp4": ""}),
    Row("cut off", f"{PREDICT} x.mp4", 1, f"video: x.mp4 {NO_VIDEO}", {"x.mp4": video_cut}),
    Row("folder", f"{PREDICT} x.mp4", 1,
        "video: expected a file or a folder of frames (.jpg, .png), got a folder without any: x.mp4", {"x.mp4": None}),
    Row("frames of two sizes", f"{PREDICT} x", 1, "video: x/2.png is 32x48, but 1.png before it is 32x32", {"x": pictures}),
    Row("pipe", f"{PREDICT} x.mp4", 1, "video: expected a regular file, got a pipe or device: x.mp4",
        {"x.mp4": lambda root, path: os.mkfifo(path)}),
    Row("sound alone", f"{PREDICT} x.mp4", 1, "video: x.mp4 has no video stream", {"x.mp4": only_sound}),
    Row("link to nothing", f"{PREDICT} x.mp4", 1, "video: no such file: x.mp4", {"x.mp4": link_to("nowhere")}),
    Row("link to itself", f"{PREDICT} x.mp4", 1, "video: cannot open x.mp4 (Too many levels of symbolic links)",
        {"x.mp4": link_to("x.mp4")}),
]

RUNS = [
    Row("below a file", f"{TRAIN} --run f/new", 1, 'run: cannot create "f/new": Not a directory', {"f": "x"}),
    Row("a file", f"{TRAIN} --run f", 1, 'run: "f" is no folder', {"f": "x"}),
    Row("where none can be made", f"{TRAIN} --run /proc/x", 1, 'run: cannot create "/proc/x": No such file or directory'),
    Row("with a run in it", f"{TRAIN} --run ../run", 1,
        'run: "../run" is not empty; name another folder with --run, or go on with --resume'),
    Row("with other files", TRAIN, 1, 'run: "new" is not empty; name another folder with --run, or go on with --resume',
        {"new/mine.txt": "x"}),
    Row("in use", "train --resume r", 1, f'run: process {os.getpid()} is at work in "r"; wait for its end, or stop it',
        {"r": run_in_use}),
    Row("resume of nothing", "train --resume none", 1, 'resume: no such run folder: "none"'),
    Row("resume of no run", "train --resume ../two", 1, 'resume: "../two" holds no config.json; it is no run folder'),
    Row("resume with other options", "train --resume ../run --lr 1 --epochs 9", 2,
        "--resume goes on with the options of the run; leave out --epochs, --lr, or start a new run from its weights with "
        "--weights"),
    Row("resume with other videos", "train --resume r --data ../motion", 1,
        "resume: the evaluation videos are not those that the run began with (4 then, 24 now; or other names or classes); "
        "bring these back, or start a new run from its weights with --weights", {"r": run}),
    Row("resume with a damaged configuration", "train --resume r", 1,
        'resume: "r" has a damaged configuration; start a new run from its weights with --weights', {"r/config.json": "{}"}),
    Row("resume of damaged checkpoints", "train --resume r", 1,
        'resume: none of the 1 checkpoints in "r" can be read; the newest: safetensors: "r/step-00000001.safetensors": is '
        "truncated: 4 bytes hold no header length", {"r/config.json": "{}", "r/step-00000001.safetensors": weights(cut=4)}),
    Row("report of nothing", "report none", 1, 'report: no such run folder: "none"'),
    Row("report of no run", "report ../two", 1, 'report: "../two" holds no config.json; it is no run folder'),
    Row("report of a damaged configuration", "report d", 1,
        'json: "d/config.json" is not valid JSON: parse error at line 1, column 2: syntax error while parsing object key - '
        "unexpected end of input; expected string literal", {"d/config.json": "{"}),
    Row("report of another file", "report d", 1, 'report: "d/config.json" is no configuration of a run', {"d/config.json": "[]"}),
]

CHECKPOINTS = [
    Row("none", f"{TRAIN} {W}", 1, 'checkpoint: no such file or run folder: "w.safetensors"'),
    Row("no run", "eval --data ../two --run none", 1, 'checkpoint: no such file or run folder: "none"'),
    Row("folder that is no run", "eval --data ../two --run ../two", 1,
        'checkpoint: "../two" holds no best.safetensors or last.safetensors; it is no run folder'),
    Row("text", f"eval --data ../two {W}", 1,
        'safetensors: "w.safetensors": the header length 8241904413164529780 does not fit in 16 bytes; this is no safetensors '
        "file, or it is cut off", {"w.safetensors": "these are no wei"}),
    Row("empty", f"eval --data ../two {W}", 1, 'safetensors: "w.safetensors": is truncated: 0 bytes hold no header length',
        {"w.safetensors": ""}),
    Row("cut off", f"predict ../two/left/00000.mp4 {W}", 1,
        "safetensors: \"w.safetensors\": the header length <N> does not fit in 100 bytes; this is no safetensors file, or it "
        "is cut off", {"w.safetensors": weights(cut=100)}),
    Row("cut off in its values", f"visualize filters --out o {W}", 1,
        "safetensors: \"w.safetensors\": tensor '<S>' ends at byte <N> of <N> of data; the file is truncated",
        {"w.safetensors": weights(cut=-100)}),
    Row("one bit flipped", f"eval --data ../two {W}", 1,
        'safetensors: "w.safetensors": is damaged: its checksum is <S>, but it was written with <S>',
        {"w.safetensors": flipped}),
    Row("without description", f"eval --data ../two {W}", 1,
        'checkpoint: "w.safetensors" holds weights without the description of their network; give that network\'s run folder '
        "with --run", {"w.safetensors": weights(lambda file: file.metadata.clear())}),
    Row("other format", f"eval --data ../two {W}", 1,
        'checkpoint: "w.safetensors" has format 99; this program reads formats 1 to 2',
        {"w.safetensors": weights(lambda file: file.metadata.update(format="99"))}),
    Row("unknown network", f"eval --data ../two {W}", 1,
        "checkpoint: \"w.safetensors\" describes what this program cannot make: unknown model 'slow_fission'; did you mean "
        "'slow_fusion'?", {"w.safetensors": weights(lambda file: file.run.update(model="slow_fission"))}),
    Row("description of another type", f"eval --data ../two {W}", 1, 'checkpoint: "w.safetensors" has a damaged description',
        {"w.safetensors": weights(lambda file: file.run.update(model=5))}),
    Row("recipe of another type", f"eval --data ../two {W}", 1,
        'checkpoint: "w.safetensors" describes what this program cannot make: recipe: type must be number, but is string',
        {"w.safetensors": weights(lambda file: file.run["recipe"].update(frames="x"))}),
    Row("classes beside the network", f"eval --data ../two {W}", 1,
        'checkpoint: "w.safetensors" names 3 classes, but its network has 2',
        {"w.safetensors": weights(lambda file: file.run.update(classes=["a", "b", "c"]))}),
    Row("description of another network", f"eval --data ../two {W}", 1,
        'weights: "w.safetensors" does not fit this network: 2 missing (features.block1.conv.bias, '
        "features.block2.conv.bias), 8 extra (features.block1.norm.bias, features.block1.norm.running_mean, "
        "features.block1.norm.running_var, features.block1.norm.weight, features.block2.norm.bias, "
        "features.block2.norm.running_mean, features.block2.norm.running_var, features.block2.norm.weight)",
        {"w.safetensors": weights(lambda file: file.run["options"].update(batch_norm=False))}),
    Row("another network", f"{TRAIN} --model early_fusion --weights ../run/best.safetensors", 1,
        'weights: "../run/best.safetensors" does not fit this network: 2 of another shape (features.block1.conv.weight: '
        "expected [4,6,3,3,3], got [4,3,3,3,3], features.block2.conv.weight: expected [6,1,3,3,4], got [6,3,3,3,4])"),
    Row("other classes", f"{TRAIN} --data ../motion --weights ../run", 1,
        'weights: "../run/best.safetensors" does not fit this network: 2 of another shape (classify.weight: expected [12,6], '
        "got [2,6], classify.bias: expected [12], got [2])"),
    Row("no such layer", "visualize filters --run ../run --out o --layer conv9", 1,
        "filters: no layer 'conv9'; its convolutions: features.block1.conv.weight, features.block2.conv.weight"),
]

OUTPUTS = [
    Row("scores into no folder", f"{EVAL} --csv no/x.csv", 1, '--csv: no such folder: "no"'),
    Row("scores over a folder", f"{EVAL} --csv x.csv", 1, '--csv: expected a file, got a folder: "x.csv"', {"x.csv": None}),
    Row("video into no folder", f"{PREDICT} ../two/left/00000.mp4 --video no/x.mp4", 1, '--video: no such folder: "no"'),
    Row("video over a folder", f"{PREDICT} ../two/left/00000.mp4 --video x.mp4", 1,
        '--video: expected a file, got a folder: "x.mp4"', {"x.mp4": None}),
    Row("pictures below a file", "visualize filters --run ../run --out f/o", 1,
        'visualize: cannot create the folder "f/o": Not a directory', {"f": "x"}),
    Row("picture into no folder", "visualize filters --run ../run --gif no/x.gif", 1, '--gif: no such folder: "no"'),
    Row("data set among other files", "generate motion --out o", 1,
        "motion: o is not empty and holds no motion.json; choose another folder", {"o/mine.txt": "x"}),
    Row("data set of other options", "generate motion --out ../motion --clips 3", 1,
        "motion: ../motion holds clips of other options; choose another folder or remove it"),
    Row("data set over a file", "generate motion --out f", 1, "motion: cannot make the folder f (Not a directory)", {"f": "x"}),
]


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.kinema(cls.root, "generate motion --out motion --clips 2 --frames 6 --size 32")
        for name in ("left", "right"):
            shutil.copytree(cls.root / "motion" / name, cls.root / "two" / name)
        done = cls.kinema(cls.root, f"train --data two --run run {SMALL}")
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @staticmethod
    def kinema(folder, command):
        return subprocess.run([PROGRAM, *shlex.split(command)], cwd=folder, capture_output=True, text=True, timeout=120,
                              env=ENVIRONMENT, stdin=subprocess.DEVNULL)

    def check_row(self, row):
        here = self.root / "here"
        shutil.rmtree(here, ignore_errors=True)
        for name, made_of in {".": None, **row.files}.items():
            path = here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if made_of is None:
                path.mkdir()
            elif callable(made_of):
                made_of(self.root, path)
            else:
                path.write_bytes(made_of if isinstance(made_of, bytes) else made_of.encode())
        before = contents(self.root)
        done = self.kinema(here, row.command)
        # eval and predict say where they compute, train behind what it trains, before they read a video.
        place = "((eval|predict): on the CPU( \\(.*\\))?\n)?"
        self.assertRegex(done.stderr, rf"\A{place}{pattern_of(row.before)}kinema: {pattern_of(row.sentence)}\n\Z")
        self.assertEqual((done.returncode, done.stdout), (row.code, ""))
        after = contents(self.root)
        self.assertEqual([p for p in before | after if before.get(p) != after.get(p)], [], "changed on disk")

    def check_table(self, rows):
        for row in rows:
            with self.subTest(row.name, command=row.command):
                self.check_row(row)

    def test_usage(self):
        self.check_table(USAGE)

    def test_numbers(self):
        self.check_table(NUMBERS)

    def test_configuration_files(self):
        self.check_table(TOML)

    def test_data(self):
        self.check_table(DATA)

    def test_lists(self):
        self.check_table(LISTS)

    def test_videos(self):
        self.check_table(VIDEOS)

    def test_run_folders(self):
        self.check_table(RUNS)

    def test_checkpoints(self):
        self.check_table(CHECKPOINTS)

    def test_outputs(self):
        self.check_table(OUTPUTS)


if __name__ == "__main__":
    unittest.main()
