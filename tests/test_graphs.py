"""A recorded step does what the plain one does; it is played here, tests/test_gpu.py has a real one."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from test_train_step import CONFIG, make_sampler, plain_network

from unet_helpers import training, transforms
from unet_helpers.engine import devices, graphs
from unet_helpers.training import Run, train_step

CPU = torch.device("cpu")


class ByHand:
    """An augmentation that can be taken apart: it turns images dark and masks round."""

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(n, 1, generator=generator)

    def change(self, images, masks, changes, noise):
        return images * changes[..., None, None] + 0.1 * noise, masks.flip(-1)

    def __call__(self, images, masks, generator):
        changes = self.draw(len(images), generator)
        seed = transforms.draw_seed(generator)
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
        return self.change(images, masks, changes, noise)


class PlayedGraph:
    """Stands in for torch.cuda.CUDAGraph: a replay does the recorded step, with what lies in its places."""

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generator = generator


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Recording and replaying on the CPU; counts both."""
    counts = SimpleNamespace(recorded=0, replayed=0)
    monkeypatch.setattr(devices, "sixteen_bit_type", lambda device: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", PlayedGraph)
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    real_step = training.train_step

    def watched_step(run, sampler):
        if not isinstance(sampler, graphs._Recorded):
            return real_step(run, sampler)
        counts.recorded += 1  # a recording computes nothing
        zeros = torch.zeros(2)
        run.unread.append((0, run.rate(), None, *zeros))
        owner = sampler.step

        def replay() -> None:
            counts.replayed += 1
            run.unread.clear()
            rates = [group["lr"] for group in run.optimiser.param_groups]
            real_step(run, sampler)
            for group, rate in zip(run.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate  # a replay runs no Python
            owner.result = torch.stack([value.float() for value in run.unread[0][-2:]])

        owner.played = replay
        return None

    monkeypatch.setattr(PlayedGraph, "replay", lambda graph: step_of[0].played(), raising=False)
    step_of: list[graphs.GraphedStep] = []
    real_init = graphs.GraphedStep.__init__

    def init(self, run):
        real_init(self, run)
        step_of[:] = [self]

    monkeypatch.setattr(graphs.GraphedStep, "__init__", init)
    monkeypatch.setattr(training, "train_step", watched_step)

    @contextmanager
    def record(graph):
        yield

    monkeypatch.setattr(torch.cuda, "graph", record)
    return counts


def make_run(augmentation) -> Run:
    run = Run(CONFIG, plain_network(), CPU)
    run.augment = augmentation
    return run


@pytest.mark.parametrize("augmentation", [None, ByHand()])
def test_a_recorded_step_draws_computes_and_counts_as_the_plain_one(played, augmentation):
    n = graphs.WARM_UP + graphs.AHEAD + 5  # so that it draws ahead twice
    plain, graphed = make_run(augmentation), make_run(augmentation)
    step, sampler = graphs.GraphedStep(graphed), make_sampler()
    for _ in range(n):
        train_step(plain, sampler)
        step(graphed, sampler)
        assert torch.equal(plain.generator.get_state(), graphed.generator.get_state())
    assert (played.recorded, played.replayed) == (1, n - graphs.WARM_UP)
    assert (graphed.step, graphed.epoch_steps, len(graphed.unread)) == (n, n, n)
    for ours, theirs in zip(graphed.unread, plain.unread, strict=True):
        assert ours[:2] == theirs[:2] and torch.equal(ours[2], theirs[2])
        assert torch.allclose(torch.stack(ours[3:]), torch.stack(theirs[3:]))
    assert len({float(entry[3]) for entry in graphed.unread}) == n  # each loss is its own
    for ours, theirs in zip(graphed.model.parameters(), plain.model.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 1e-6, (ours - theirs).abs().max()
    assert all(group["capturable"] is False for group in graphed.optimiser.param_groups)
    assert isinstance(graphed.optimiser.param_groups[0]["lr"], float)  # as checkpoints have it


def test_another_network_is_recorded_anew(played):
    run, sampler = make_run(None), make_sampler()
    step = graphs.GraphedStep(run)
    for _ in range(graphs.WARM_UP + 2):
        step(run, sampler)
    run.network = lambda images: run.model(images)  # as compiling does, or halving a batch
    for _ in range(graphs.WARM_UP + 2):
        step(run, sampler)
    assert (played.recorded, played.replayed) == (2, 4)


def test_a_step_that_cannot_be_recorded_goes_on_plainly_and_says_so(played, monkeypatch, capsys):
    kept: list[str] = []

    @contextmanager
    def refuse(graph):
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nand 80 lines more")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    usual = SimpleNamespace(clone_state=lambda: "as it is", graphsafe_set_state=kept.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "default_generators", [usual])
    plain, run, sampler = make_run(ByHand()), make_run(ByHand()), make_sampler()
    step = graphs.GraphedStep(run)
    for _ in range(graphs.WARM_UP + 3):
        train_step(plain, sampler)
        step(run, sampler)
    for ours, theirs in zip(run.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    said = capsys.readouterr().out
    assert kept == ["as it is"]  # or whoever draws on the GPU next would be told of a recording
    assert said.count("cannot be recorded as a CUDA graph (operation not permitted when stream is cap") == 1


def test_a_step_that_failed_comes_again_with_the_same_patches(played, monkeypatch):
    run, sampler = make_run(ByHand()), make_sampler()
    step = graphs.GraphedStep(run)
    for _ in range(graphs.WARM_UP + 2):
        step(run, sampler)
    before = run.generator.get_state()

    def fail(graph) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(PlayedGraph, "replay", fail)
        with pytest.raises(torch.OutOfMemoryError):
            step(run, sampler)
    assert torch.equal(run.generator.get_state(), before) and step.graph is None and not step.ahead


def test_only_one_gpu_and_a_known_augmentation_are_recorded(monkeypatch):
    run = make_run(transforms.augment)
    assert graphs.step_function(run) is train_step  # a CPU
    monkeypatch.setattr(graphs, "GraphedStep", lambda run: "recorded")
    run.device = torch.device("cuda")
    assert graphs.step_function(run) == "recorded"
    for name, value in (("world_size", 2), ("augment", lambda *batch: batch[:2])):
        with monkeypatch.context() as patch:
            patch.setattr(run, name, value)
            assert graphs.step_function(run) is train_step
    run.config = training.TrainConfig(cuda_graphs="off")
    assert graphs.step_function(run) is train_step
