"""A training step on a GPU as one CUDA graph: recorded once, and then started by a single call.

A step is some 250 small operations, and Python needs longer to send each of them to a fast GPU than the GPU
to compute it. A CUDA graph is a recording of all of them that the GPU plays by itself. What is recorded is
`training.train_step` as it stands; only what differs from step to step lies in tensors at fixed places,
which are filled before each replay: the corners of the patches, the changes of augmentation, and the
learning rate. They are drawn for many steps at once, from the same random numbers as without a graph.

Reference: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from unet_helpers import training
from unet_helpers.engine.progress import say
from unet_helpers.engine.rescue import is_out_of_memory
from unet_helpers.training import Network, Run
from unet_helpers.transforms import augment, change_patches, draw_changes, draw_seed, to_device

if TYPE_CHECKING:
    from unet_helpers.transforms import PatchSampler

__all__ = ["GraphedStep", "step_function"]

AHEAD = 32  # steps whose random numbers are drawn, and sent to the GPU, together
WARM_UP = 3  # plain steps before recording: libraries choose their kernels, the optimiser sets up its state

Step = Callable[[Run, "PatchSampler"], None]
Changes = tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, Tensor]]]


def step_function(run: Run) -> Step:
    """`train_step`, or on a single CUDA GPU a `GraphedStep` in its place, as `config.cuda_graphs` says."""
    able = run.device.type == "cuda" and run.world_size == 1 and changes_of(run.augment) is not None
    if not able or run.config.cuda_graphs == "off":
        return training.train_step
    return GraphedStep(run)


def changes_of(augmentation: Any) -> Changes | None:
    """What draws and what applies the changes of an augmentation; None if it cannot be taken apart.

    An augmentation of your own can, if it has `draw` and `change` as `draw_changes` and `change_patches` are.
    """
    if augmentation is None:
        return lambda n, generator: torch.empty(n, 0), lambda images, masks, *_: (images, masks)
    if augmentation is augment:
        return draw_changes, change_patches
    if hasattr(augmentation, "draw") and hasattr(augmentation, "change"):
        return augmentation.draw, augmentation.change
    return None


class Draw(NamedTuple):
    """What chance decides for one step."""

    which: Tensor  # int64 (B,), number of the image of each patch, on the CPU
    seed: int | None  # of the noise
    state: Tensor  # of the run's generator after the step


class GraphedStep:
    """Does what `train_step` does; a network that cannot be recorded is trained step by step."""

    def __init__(self, run: Run) -> None:
        self.draw, self.change = cast(Changes, changes_of(run.augment))
        self.works = True
        self.noise = torch.Generator(run.device)
        self.stream = torch.cuda.Stream(run.device)  # type: ignore[no-untyped-call]
        self.rate = torch.zeros((), device=run.device)
        self.forget()

    def forget(self) -> None:
        """Be ready to record again."""
        self.graph: torch.cuda.CUDAGraph | None = None
        self.network: Network | None = None
        self.n_plain = 0
        self.ahead: deque[Draw] = deque()

    def __call__(self, run: Run, sampler: PatchSampler) -> None:
        """One step of the optimiser."""
        if self.network is not run.network:  # the first step; or compiled, or in parts, from now on
            self.forget()
            self.network = run.network
        try:
            if self.works and self.graph is None and self.n_plain == WARM_UP:
                self._record(run, sampler)
            if self.graph is None:
                self._plain(run, sampler)
            else:
                self._replay(run, sampler)
        except RuntimeError:  # what can be mended, `fit` mends, and then the same step comes again
            self.forget()
            raise

    def _plain(self, run: Run, sampler: PatchSampler) -> None:
        self.n_plain += 1
        # not on the usual stream, as the documentation asks of what comes before a recording
        stream = self.stream
        stream.wait_stream(torch.cuda.current_stream(run.device))
        with torch.cuda.stream(stream):
            training.train_step(run, sampler)
        torch.cuda.current_stream(run.device).wait_stream(stream)

    def _record(self, run: Run, sampler: PatchSampler) -> None:
        """Record a step, without doing it; where that fails, `works` is False from then on."""
        self._draw_ahead(run, sampler)
        self._fill(run, sampler, 0)
        graph = torch.cuda.CUDAGraph()
        double = copy.copy(run)  # `train_step` counts on it
        double.unread = []
        double.rate = lambda: self.rate  # type: ignore[method-assign, assignment, return-value]
        if run.augment is not None:
            double.augment = self._augment
        for group in run.optimiser.param_groups:
            group["capturable"] = True
        try:
            graph.register_generator_state(self.noise)
            with torch.cuda.graph(graph):
                training.train_step(double, cast("PatchSampler", _Recorded(self, sampler)))
                self.result = torch.stack([value.float() for value in double.unread[0][-2:]])
            self.graph = graph
        except (AttributeError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            self.works = False
            reason = str(error).strip().partition("\n")[0]
            say(f"This step cannot be recorded as a CUDA graph ({reason}); going on step by step.")
            run.scaler = _as_before(run.scaler, run.device)
            usual = torch.cuda.default_generators[torch.cuda.current_device()]
            usual.graphsafe_set_state(usual.clone_state())  # it takes itself for one that is recorded
        finally:
            for group in run.optimiser.param_groups:  # for the checkpoints
                group["capturable"] = False

    def _augment(self, images: Tensor, masks: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(images.shape, generator=self.noise, device=images.device)
        return self.change(images, masks, self.changes, noise)

    def _replay(self, run: Run, sampler: PatchSampler) -> None:
        if not self.ahead:
            self._draw_ahead(run, sampler)
        self._fill(run, sampler, AHEAD - len(self.ahead))
        draw, rate = self.ahead.popleft(), run.rate()
        self.rate.fill_(rate)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        if draw.seed is not None:
            self.noise.manual_seed(draw.seed)
        cast(torch.cuda.CUDAGraph, self.graph).replay()
        loss, norm = self.result.clone()
        run.unread.append((run.step, rate, draw.which, loss, norm))
        run.step, run.epoch_steps = run.step + 1, run.epoch_steps + 1
        run.generator.set_state(draw.state)

    def _draw_ahead(self, run: Run, sampler: PatchSampler) -> None:
        """Draw what the next steps need, as `train_step` would one by one; the run stays as it is."""
        generator = torch.Generator()
        generator.set_state(run.generator.get_state())
        n, corners, changes = run.config.batch_size, list[Tensor](), list[Tensor]()
        self.ahead.clear()
        for _ in range(AHEAD):
            corners.append(sampler.draw_corners(n, generator))
            changes.append(self.draw(n, generator))
            seed = None if run.augment is None else draw_seed(generator)
            self.ahead.append(Draw(corners[-1][:, 0], seed, generator.get_state()))
        self.all_corners = torch.stack(corners)  # (AHEAD, B, 3)
        if sampler.images.device.type == run.device.type:
            self.all_corners = to_device(self.all_corners, run.device)
        self.all_changes = to_device(torch.stack(changes), run.device)  # (AHEAD, B, n)

    def _fill(self, run: Run, sampler: PatchSampler, k: int) -> None:
        """Put what step k of those drawn needs in its place."""
        corners, changes = self.all_corners[k], self.all_changes[k]
        on_device = sampler.images.device.type == run.device.type
        filled = (corners, changes) if on_device else (*sampler.cut(corners), changes)
        if self.graph is None:
            self.places = [to_device(values, run.device).clone() for values in filled]
            self.changes = self.places[-1]
            return
        for place, values in zip(self.places, filled, strict=True):
            place.copy_(to_device(values, run.device), non_blocking=True)


class _Recorded:
    """The sampler of a step that is recorded: it cuts where the corners say that lie in the step's places."""

    def __init__(self, step: GraphedStep, sampler: PatchSampler) -> None:
        self.step, self.sampler = step, sampler

    def sample(self, *_: Any) -> tuple[Tensor, Tensor, None]:
        """Images and masks as `PatchSampler.sample` gives them."""
        places = self.step.places
        images, masks = places[:2] if len(places) == 3 else self.sampler.cut(places[0])
        return images, masks, None


def _as_before(scaler: torch.amp.GradScaler, device: torch.device) -> torch.amp.GradScaler:
    """The scaler of a run whose step was broken off in the middle."""
    fresh = torch.amp.GradScaler(device.type, enabled=scaler.is_enabled())
    if scaler.is_enabled():
        fresh.load_state_dict(scaler.state_dict())
    return fresh
