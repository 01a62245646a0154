"""In how many bits a device computes: chosen by what it is fast at, and really switched on."""

import pytest
import torch

from unet_helpers import inference
from unet_helpers.inference import fast_precision, sixteen_bit_type


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 5), torch.float16),  # Colab's T4
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_gpus_compute_in_16_bits_and_old_ones_in_float16(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert sixteen_bit_type(torch.device("cuda")) == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, torch.bfloat16), (False, None)])
def test_a_cpu_computes_in_16_bits_where_it_has_instructions_for_them(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)
    assert sixteen_bit_type(torch.device("cpu")) == expected
    assert sixteen_bit_type(torch.device("mps")) is None


def test_a_torch_that_does_not_know_its_cpu_computes_in_32_bits(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert sixteen_bit_type(torch.device("cpu")) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, None])
def test_the_convolutions_are_computed_in_that_type_and_the_rest_as_before(monkeypatch, dtype):
    monkeypatch.setattr(inference, "sixteen_bit_type", lambda device: dtype)
    layer, image = torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)
    with fast_precision(torch.device("cpu")):
        assert layer(image).dtype == (dtype or torch.float32)
    assert layer(image).dtype == torch.float32
