"""What two processes do together in test_several_gpus.py: `python several_processes.py FOLDER`.

Each process is a fork of this one, which has imported everything and computed nothing, and each finds what it
would find under torchrun: its number, and a store that outlives them all.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from test_several_gpus import CONFIG, CPU, make_batch, reference, shared, small_model
from tiny_data import tiny_pairs, write_tiny

from unet_helpers import training
from unet_helpers.command_line.main import main
from unet_helpers.engine import devices, several_gpus


def together(what: Callable[[Path], None], folder: Path) -> None:
    """Do it in two processes and wait for both."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    print(f"== {what.__name__}", flush=True)
    children = [os.fork() or become(k, port, what, folder) for k in range(2)]
    store = torch.distributed.TCPStore("localhost", port, is_master=True, wait_for_workers=False)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    del store
    assert ends == [0, 0], ends


def become(k: int, port: int, what: Callable[[Path], None], folder: Path) -> None:
    """Be process k of two to the end."""
    found = {"RANK": k, "LOCAL_RANK": k, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in found.items()}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the store is the parent's, as under torchrun
    code = 1
    try:
        what(folder)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())  # in one piece: the other process writes there, too


def train_alike(folder: Path) -> None:
    """Compare with one process on the whole batch; then whole runs, stopped runs, and what is refused."""
    devices.sixteen_bit_type = training.sixteen_bit_type = lambda device: None
    whole = reference()  # before the processes know of each other
    with several_gpus.process_group(CPU):
        k, n = several_gpus.rank_and_world_size()
        pairs = tiny_pairs(folder / f"data{k}")

        def fit(run: str, config: training.TrainConfig = CONFIG, seed: int = 0, **options) -> list[dict]:
            model = shared(small_model(seed))
            return training.fit(*pairs, folder / run, config, model, CPU, progress=False, **options)

        run = training.Run(CONFIG, shared(small_model(seed=k)), CPU)  # process 1 starts elsewhere
        several_gpus.share(run)
        both = zip(run.model.parameters(), small_model().parameters(), strict=True)
        apart = max((a - b).abs().max().item() for a, b in both)
        images, masks = make_batch()
        loss = run.loss(run.network(images[k::n]), masks[k::n])
        loss.backward()
        gradients = zip(run.model.parameters(), whole["gradients"], strict=True)
        worst = max((p.grad - g).abs().max().item() for p, g in gradients)
        averages = zip(run.model.buffers(), whole["buffers"], strict=True)
        norms = max((a - b).abs().max().item() for a, b in averages)
        assert run.model.state_dict().keys() == small_model().state_dict().keys()
        history = fit("run", seed=k)
        for on_epoch in (lambda _: signal.raise_signal(signal.SIGTERM), None):  # in process 0 only
            fit("cut", on_epoch=on_epoch)
        seconds, stop = several_gpus.agree(10.0 + k, [0, 15][k])
        say(
            f"process {k}: gradient {worst:.1e} loss {abs(loss.item() - whole['loss']):.1e} "
            f"norms {norms:.1e} apart {apart:.1e} epochs {len(history)} clock {seconds} stop {stop}"
        )
        try:
            fit("odd", replace(CONFIG, batch_size=5))
        except ValueError as error:
            say(error)
        time.sleep([1.0, 0.0][k])  # process 0 has something left to do
        say(f"leaving {k} {time.time()}")
    say(f"left {k} {time.time()}")


def give_the_command(folder: Path) -> None:
    """The command that trains and chooses a threshold."""
    words = ("--base-channels", "2", "--device", "cpu", "--epochs", "3")
    assert main(["train", str(folder / "data"), "--out", str(folder / "command"), *words]) == 0


if __name__ == "__main__":
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # imports half of PyTorch, once for all
    write_tiny(Path(sys.argv[1]) / "data")
    together(train_alike, Path(sys.argv[1]))
    together(give_the_command, Path(sys.argv[1]))
