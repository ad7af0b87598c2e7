"""PyTorch's side of the rows: what each pass of an operation is there, on the same numbers.

Tensors are channels last throughout: [N,T,H,W,C] without gaps, seen as N,C,T,H,W, is torch.channels_last_3d. A layer is
made from the text of a row's shape and from its operands; `call` gives the outputs in the order of ours (None: not held
against ours). What PyTorch has no single call for raises Absent.
"""
import torch
import torch.nn.functional as F

TYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Absent(Exception):
    """PyTorch does not offer the row."""


def words(shape):
    """{"x": [8,16,56,56,64], ...} of "x=8,16,56,56,64 kernel=2,2,2"."""
    pairs = (word.split("=", 1) for word in shape.split())
    return {key: [int(v) for v in value.split(",")] if value[0].isdigit() else value for key, value in pairs}


def seen(t):
    """[N,T,H,W,C] as N,C,T,H,W; nothing moves."""
    return t.permute(0, 4, 1, 2, 3)


def back(t):
    return t.permute(0, 2, 3, 4, 1)


def paddings(w):
    front = w.get("pad", [0, 0, 0])
    return front, w.get("pad_back", front)


def conv3d(name, w, t):
    front, behind = paddings(w)
    stride, dilation = w.get("stride", [1, 1, 1]), w.get("dilation", [1, 1, 1])
    groups = w.get("groups", [1])[0]
    if name == "grad_bias":
        return lambda: [torch.sum(t["dy"], (0, 1, 2, 3), dtype=torch.float32)]
    if front != behind:
        raise Absent("unequal paddings")
    if name == "forward":
        return lambda: [back(F.conv3d(seen(t["x"]), seen(t["w"]), None, stride, front, dilation, groups))]
    x = t["x"] if "x" in t else torch.empty(w["x"], dtype=t["dy"].dtype, device=t["dy"].device)
    f = t["w"] if "w" in t else torch.empty(w["w"], dtype=t["dy"].dtype, device=t["dy"].device)
    wanted = {"grad_input": 0, "grad_weight": 1}[name]
    mask = [wanted == i for i in range(3)]
    return lambda: [back(torch.ops.aten.convolution_backward(
        seen(t["dy"]), seen(x), seen(f), None, stride, front, dilation, False, [0, 0, 0], groups, mask)[wanted])]


def indices(w, t, kernel, stride, pad):
    """PyTorch's places of maxima, in x, from ours, within the window."""
    _, frames, height, width, _ = w["x"]
    taps = t["taps"].long()
    at = [torch.arange(n, device=taps.device) * s - p for n, s, p in zip(taps.shape[1:4], stride, pad)]
    t0, h0, w0 = at[0].view(-1, 1, 1, 1), at[1].view(-1, 1, 1), at[2].view(-1, 1)
    tap = (taps // (kernel[1] * kernel[2]), taps // kernel[2] % kernel[1], taps % kernel[2])
    return seen(((t0 + tap[0]) * height + h0 + tap[1]) * width + w0 + tap[2])


def pool3d(name, w, t):
    front, behind = paddings(w)
    kernel = w["kernel"]
    stride = [s or k for s, k in zip(w.get("stride", [0, 0, 0]), kernel)]
    ceil, count = bool(w.get("ceil", [0])[0]), bool(w.get("count_padding", [1])[0])
    if front != behind:
        raise Absent("unequal paddings")
    if any(2 * p > k for p, k in zip(front, kernel)):
        raise Absent("padding above half of the window")
    x = seen(t["x"]) if "x" in t else seen(torch.empty(w["x"], dtype=t["dy"].dtype, device=t["dy"].device))
    if name == "max_forward":
        return lambda: [back(F.max_pool3d(x, kernel, stride, front, 1, ceil, return_indices=True)[0]), None]
    if name == "average_forward":
        return lambda: [back(F.avg_pool3d(x, kernel, stride, front, ceil, count))]
    dy = seen(t["dy"])
    if name == "average_grad":
        return lambda: [back(torch.ops.aten.avg_pool3d_backward(dy, x, kernel, stride, front, ceil, count, None))]
    # In the order in memory in which the forward pass gives them: it differs by device and version.
    given = F.max_pool3d(x, kernel, stride, front, 1, ceil, return_indices=True)[1]
    places = torch.empty_like(given).copy_(indices(w, t, kernel, stride, front))
    return lambda: [back(torch.ops.aten.max_pool3d_with_indices_backward(
        dy, x, kernel, stride, front, [1, 1, 1], ceil, places))]


def batch_norm(name, w, t):
    epsilon, share = 1e-5, 0.1
    clips = len(w["x"]) == 5
    form = seen if clips else lambda v: v.reshape(-1, w["x"][-1])
    restored = back if clips else lambda v: v.reshape(w["x"])
    x = form(t["x"])
    if not x.numel():
        raise Absent("nothing to normalise")
    if name == "statistics":
        def call():
            var, mean = torch.var_mean(x.float(), [d for d in range(x.dim()) if d != 1], unbiased=False)
            return [mean, var]
        return call
    training = name.startswith("train")
    if name.endswith("forward"):
        mean, var = t["running_mean"], t["running_var"]
        return lambda: [None] * (2 if training else 0) + [restored(torch.native_batch_norm(
            x, t["gamma"], t["beta"], mean, var, training, share, epsilon)[0]), None, None]
    dy, var = form(t["dy"]), t["rstd"] ** -2 - epsilon

    def call():
        dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
            dy, x, t["gamma"], t["mean"], var, t["mean"], t["rstd"], training, epsilon, [True] * 3)
        return [restored(dx), dgamma, dbeta]
    return call


def linear(name, w, t):
    return {"forward": lambda: [F.linear(t["x"], t["w"])],
            "grad_input": lambda: [t["dy"] @ t["w"]],
            "grad_weight": lambda: [t["dy"].t() @ t["x"]],
            "grad_bias": lambda: [torch.sum(t["dy"], 0, dtype=torch.float32)]}[name]


LAYERS = {"conv3d": conv3d, "pool3d": pool3d, "batch_norm": batch_norm, "linear": linear}
# Parameters and statistics stay f32, and whole numbers are none of a type.
ALWAYS_F32 = {"gamma", "beta", "mean", "rstd", "running_mean", "running_var", "taps"}


def layer(operation, name, shape, operands):
    """A call without arguments that runs the pass on these tensors, by our names."""
    return LAYERS[operation](name, words(shape), operands)
