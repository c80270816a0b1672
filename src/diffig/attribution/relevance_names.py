"""Which rule of relevance each function and method of PyTorch follows, by its name."""

from __future__ import annotations

SUMS = ("add", "__add__", "__radd__")
DIFFERENCES = ("sub", "subtract", "__sub__", "__rsub__", "rsub")
QUOTIENTS = ("div", "divide", "__truediv__", "true_divide")
TURNED = ("neg", "__neg__", "negative")
FACTORS = ("mul", "multiply", "__mul__", "__rmul__", *QUOTIENTS)

# Those that write into their first argument, with the methods that do the same and write nowhere.
WRITTEN = {"add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div"}
WRITTEN |= {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div"}

# Sums of an image's own values with weights that are no parameters.
AVERAGES = frozenset(f"{kind}avg_pool{number}d" for kind in ("", "adaptive_") for number in (1, 2, 3))
POOLS = AVERAGES | {"mean", "sum", "interpolate", "upsample"}

_ACTIVATIONS = (
    "__neg__ celu clamp clamp_max clamp_min clip elu gelu hardshrink hardsigmoid hardswish hardtanh "
    "leaky_relu logsigmoid mish neg negative prelu relu relu6 rrelu selu sigmoid silu softplus softshrink softsign "
    "tanh tanhshrink threshold"
)
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Functions of each value by itself, as the modules that are called activations compute them."""

_MOVES = (
    "__get__ __getitem__ adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d alpha_dropout amax "
    "amin as_strided broadcast_to cat channel_shuffle chunk clone concat concatenate contiguous copy_ "
    "double dropout dropout1d dropout2d dropout3d expand expand_as feature_alpha_dropout feature_dropout "
    "flatten flip float fold gather hstack index_select masked_fill max max_pool1d "
    "max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices "
    "maximum min minimum moveaxis movedim narrow pad permute pixel_shuffle pixel_unshuffle ravel repeat "
    "requires_grad_ reshape reshape_as roll select split squeeze stack swapaxes swapdims t take_along_dim "
    "tile to transpose type type_as unbind unflatten unfold unsqueeze view view_as vstack where "
    "zero_pad2d"
)
MOVES = frozenset(_MOVES.split())
"""What copies, drops or chooses values and changes none; also attributes (`__get__`)."""
