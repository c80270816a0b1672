"""What is explained: one number per image, read off a classifier, with its gradient and its cost."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from diffig.calls import check_module, watched
from diffig.checks import Objective, check_images, check_targets
from diffig.chunks import MOST, fitting
from diffig.precision import for_the_classifier

__all__ = ["Cost", "Objective", "ScoreFunction"]


SINGLE_LOGIT = (
    "the classifier returns 1 logit: it is read as class 0, with the probability sigmoid(logit), and everything else "
    "as class 1; where your labels say it the other way round, return torch.nn.functional.pad(logit, (1, 0))"
)


class Cost(NamedTuple):
    """Images that went through the classifier forwards, and of these the ones that also went backwards."""

    forward_images: int = 0
    backward_images: int = 0

    def __add__(self, other: object) -> Cost:
        if not isinstance(other, tuple):
            return NotImplemented
        return Cost(self.forward_images + other[0], self.backward_images + other[1])

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.forward_images - other[0], self.backward_images - other[1])


def as_written() -> contextlib.AbstractContextManager[object]:
    """Return a context in which whatever is compiled runs as the plain code it was made from.

    PyTorch's compiler takes a second to import; before that nothing can be compiled.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext()


def nan_where_undefined(gradients: Tensor, scores: Tensor) -> Tensor:
    """Return gradients `(B, ...)`, NaN where the score `(B,)` is no number.

    A branch that was not taken hands back zeros, which would look like a map.
    """
    lost = ~scores.isfinite()
    return torch.where(lost.view(-1, *[1] * (gradients.ndim - 1)), torch.nan, gradients) if lost.any() else gradients


class ScoreFunction:
    """A scalar score of each image, `F(x)`, its gradient, and a running count of what both have cost.

    Args:
        classifier: maps images `(B, C, H, W)` in [0, 1] to logits `(B, K)`; it is put into evaluation mode only while
            it is being called and leaves as it came (modes, gradients, hooks). A single logit is read as that of
            class 0 with the probability `sigmoid(logit)`; class 1, everything else, has a logit of 0.
        objective: `probability` (softmax), `logit`, `log_probability`, or `margin` (the target's logit minus the
            largest other one); None leaves it to the method that explains.
        chunk_size: the largest number of images in one call of the classifier; memory follows it. Where none is given,
            `fit` takes it from the images' size and the machine's memory.
    """

    def __init__(
        self, classifier: nn.Module, objective: Objective | None = "probability", chunk_size: int | None = None
    ) -> None:
        if objective is not None and objective not in get_args(Objective):
            raise ValueError(f"objective={objective!r} is unknown; choose one of {list(get_args(Objective))}")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size} must be at least 1; it is the number of images in one call")
        check_module(classifier)
        self.classifier = classifier
        self.objective: Objective = objective or "probability"
        self.is_open = objective is None
        self.is_fitted = chunk_size is not None
        self.chunk_size = MOST if chunk_size is None else int(chunk_size)
        self.cost = Cost()
        self.on_forward: Callable[[int], None] | None = None  # is told how many images went through, as they do

    def settled(self, own: Objective) -> ScoreFunction:
        """Return a score of the objective `own` where none was named, and this score where one was."""
        if not self.is_open:
            return self
        score = self.like()
        score.objective, score.is_open = own, False
        return score

    def like(self, classifier: nn.Module | None = None) -> ScoreFunction:
        """Return a score of the same kind with a bill of its own, of another classifier where one is given."""
        score = ScoreFunction(classifier or self.classifier, self.objective)
        score.is_open, score.is_fitted, score.chunk_size = self.is_open, self.is_fitted, self.chunk_size
        score.on_forward = self.on_forward
        return score

    def fit(self, images: Tensor) -> None:
        """Let as many images `(B, C, H, W)` go through at once as there is room for, where nobody has said how many."""
        if not self.is_fitted:
            self.chunk_size = fitting(images)

    def ask(self, images: Tensor) -> Tensor:
        """Return what the classifier makes of images, with the graph they came with, and without a bill.

        It is given a copy, contiguous as most code expects images to be: a `forward` may write into its input
        (`images.sub_(mean).div_(std)`), and neither the caller's images nor a leaf of the graph may change with it.
        Beside a forward pass a copy costs next to nothing. A single logit is followed by the 0 of everything else:
        alone, its softmax would always be 1.
        """
        with for_the_classifier(images) as given:
            logits: Tensor = self.classifier(given.clone(memory_format=torch.contiguous_format))
        if self.on_forward is not None:
            self.on_forward(len(images))
        if logits.ndim == 2 and logits.shape[1] == 1:
            warnings.warn(SINGLE_LOGIT, stacklevel=2)
            logits = nn.functional.pad(logits, (0, 1))
        return logits.to(images.dtype)  # autocast may have made it coarser; what is added up must not be

    def reset_cost(self) -> None:
        """Set the running count back to zero."""
        self.cost = Cost()

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits `(B, K)`, `K` at least 2, of images `(B, C, H, W)`, without a graph."""
        check_images(images)
        with self.borrowed(), torch.no_grad():
            logits = torch.cat([self.ask(chunk) for chunk in images.split(self.chunk_size)])
        self.cost += Cost(len(images), 0)
        return logits

    def score(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the scores `(B,)` of images `(B, C, H, W)` for the classes `targets` `(B,)`, without a graph."""
        targets = check_targets(targets, len(images))
        logits = self.logits(images)
        return self.read(logits, targets)

    def value_and_grad(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores `(B,)` and their gradients `(B, C, H, W)` with respect to the images."""
        check_images(images)
        targets = check_targets(targets, len(images))
        values, gradients = [], []
        with self.borrowed(), torch.inference_mode(False), torch.enable_grad(), self._without_weights():
            for chunk, labels in zip(images.split(self.chunk_size), targets.split(self.chunk_size), strict=True):
                # A clone leaves inference mode, so that this also works inside Trainer.predict.
                leaf = (chunk.clone() if chunk.is_inference() else chunk.detach()).requires_grad_()
                scores = self.read(self.ask(leaf), labels.clone())
                (gradient,) = torch.autograd.grad(scores.sum(), leaf)
                values.append(scores.detach())
                gradients.append(
                    nan_where_undefined(gradient.contiguous(), scores)
                )  # a classifier may work in another memory layout
        self.cost += Cost(len(images), len(images))
        return torch.cat(values), torch.cat(gradients)

    def read(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the scores `(B,)` that the objective reads off `logits` `(B, K)`, with the graph they came with."""
        if logits.ndim != 2:
            raise ValueError(f"the classifier returned shape {tuple(logits.shape)}; logits of shape (B, K) are needed")
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < logits.shape[1]:
            raise ValueError(
                f"targets lie in [{int(targets.min())}, {int(targets.max())}] but the classifier knows the classes "
                f"0 to {logits.shape[1] - 1}; check the labels or use a classifier with more classes"
            )
        index = targets[:, None]
        if self.objective == "probability":
            return logits.softmax(1).gather(1, index)[:, 0]
        if self.objective == "log_probability":
            return logits.log_softmax(1).gather(1, index)[:, 0]
        chosen = logits.gather(1, index)[:, 0]
        if self.objective == "logit":
            return chosen
        return chosen - logits.scatter(1, index, -torch.inf).amax(1)

    @contextlib.contextmanager
    def _without_weights(self) -> Iterator[None]:
        """No graph towards the classifier's own parameters: less time and memory."""
        asking = [parameter for parameter in self.classifier.parameters() if parameter.requires_grad]
        for parameter in asking:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in asking:
                parameter.requires_grad_()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The classifier `borrowed` with a graph to its images alone, compiled parts as the plain code they came from.

        For methods that change or keep what happens inside, which a compiled network would hide from them.
        """
        with (
            self.borrowed(),
            torch.inference_mode(False),
            torch.enable_grad(),
            self._without_weights(),
            as_written(),
        ):
            yield

    def charge(self, forward_images: int, backward_images: int = 0) -> None:
        """Add to the bill what a method sent through the classifier by itself."""
        self.cost += Cost(forward_images, backward_images)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """The classifier in evaluation mode, given back with every sub-module's own mode.

        For methods that look inside: they `ask` the classifier themselves and `charge` what it cost.
        """
        modes = [(module, module.training) for module in self.classifier.modules()]
        self.classifier.eval()
        try:
            with watched(self.classifier):
                yield
        finally:
            for module, training in modes:
                module.training = training
