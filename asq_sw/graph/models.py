"""The built-in networks, as graphs with PyTorch's layer names.

Sources: ResNet-18/34/50 (ImageNet) and ResNet-20/32/56 (CIFAR-10, shortcut option A): He et al., "Deep
Residual Learning", CVPR 2016, table 1 and section 4.2; AlexNet: Krizhevsky, "One weird trick", 2014 (the
variant without grouping that torchvision carries); VGG-16: Simonyan and Zisserman, ICLR 2015, configuration
D; VGG-small: Zhang et al., "LQ-Nets", ECCV 2018; MobileNetV2: Sandler et al., CVPR 2018, table 2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from asq_sw.errors import InputError, nearest
from asq_sw.graph.graph import Builder, Graph
from asq_sw.graph.ops import Shape

IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)


def _basic_block(b: Builder, name: str, planes: int, stride: int, option_a: bool) -> None:
    source = b.last
    channels = b.graph("partial").shapes[source][0]
    b.conv(f"{name}.conv1", planes, 3, stride, 1)
    b.bn(f"{name}.bn1")
    b.relu(f"{name}.relu1")
    b.conv(f"{name}.conv2", planes, 3, 1, 1)
    out = b.bn(f"{name}.bn2")
    shortcut = source
    if stride != 1 or channels != planes:
        if option_a:
            shortcut = b.node(f"{name}.shortcut", "shortcut_a", source, stride=stride, out_channels=planes)
        else:
            b.conv(f"{name}.downsample.0", planes, 1, stride, src=source)
            shortcut = b.bn(f"{name}.downsample.1")
    b.node(f"{name}.add", "add", out, shortcut)
    b.relu(f"{name}.relu2")


def _bottleneck(b: Builder, name: str, planes: int, stride: int) -> None:
    source = b.last
    channels = b.graph("partial").shapes[source][0]
    b.conv(f"{name}.conv1", planes, 1)
    b.bn(f"{name}.bn1")
    b.relu(f"{name}.relu1")
    b.conv(f"{name}.conv2", planes, 3, stride, 1)
    b.bn(f"{name}.bn2")
    b.relu(f"{name}.relu2")
    b.conv(f"{name}.conv3", 4 * planes, 1)
    out = b.bn(f"{name}.bn3")
    shortcut = source
    if stride != 1 or channels != 4 * planes:
        b.conv(f"{name}.downsample.0", 4 * planes, 1, stride, src=source)
        shortcut = b.bn(f"{name}.downsample.1")
    b.node(f"{name}.add", "add", out, shortcut)
    b.relu(f"{name}.relu3")


def _resnet_imagenet(
    name: str, shape: Shape, classes: int, blocks: tuple[int, int, int, int], bottleneck: bool
) -> Graph:
    b = Builder(shape)
    b.conv("conv1", 64, 7, 2, 3)
    b.bn("bn1")
    b.relu("relu")
    b.maxpool("maxpool", 3, 2, 1)
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            if bottleneck:
                _bottleneck(b, f"layer{stage + 1}.{block}", 64 << stage, stride)
            else:
                _basic_block(b, f"layer{stage + 1}.{block}", 64 << stage, stride, option_a=False)
    b.node("avgpool", "global_avgpool")
    b.node("flatten", "flatten")
    b.linear("fc", classes)
    return b.graph(name)


def _resnet_cifar(name: str, shape: Shape, classes: int, blocks: int) -> Graph:
    b = Builder(shape)
    b.conv("conv1", 16, 3, 1, 1)
    b.bn("bn1")
    b.relu("relu")
    for stage in range(3):
        for block in range(blocks):
            _basic_block(b, f"layer{stage + 1}.{block}", 16 << stage, 2 if stage and not block else 1, True)
    b.node("avgpool", "global_avgpool")
    b.node("flatten", "flatten")
    b.linear("linear", classes)
    return b.graph(name)


def _alexnet(name: str, shape: Shape, classes: int) -> Graph:
    b = Builder(shape)
    for index, out, kernel, stride, padding, pool in (
        (0, 64, 11, 4, 2, True),
        (3, 192, 5, 1, 2, True),
        (6, 384, 3, 1, 1, False),
        (8, 256, 3, 1, 1, False),
        (10, 256, 3, 1, 1, True),
    ):
        b.conv(f"features.{index}", out, kernel, stride, padding, bias=True)
        b.relu(f"features.{index + 1}")
        if pool:
            b.maxpool(f"features.{index + 2}", 3, 2)
    b.node("flatten", "flatten")
    for index, out in ((1, 4096), (4, 4096)):
        b.linear(f"classifier.{index}", out)
        b.relu(f"classifier.{index + 1}")
    b.linear("classifier.6", classes)
    return b.graph(name)


def _vgg16(name: str, shape: Shape, classes: int) -> Graph:
    b = Builder(shape)
    index = 0
    for count, out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            b.conv(f"features.{index}", out, 3, 1, 1, bias=True)
            b.relu(f"features.{index + 1}")
            index += 2
        b.maxpool(f"features.{index}", 2, 2)
        index += 1
    b.node("flatten", "flatten")
    for position, features in ((0, 4096), (3, 4096)):
        b.linear(f"classifier.{position}", features)
        b.relu(f"classifier.{position + 1}")
    b.linear("classifier.6", classes)
    return b.graph(name)


def _vgg_small(name: str, shape: Shape, classes: int) -> Graph:
    b = Builder(shape)
    for pair, out in enumerate((128, 256, 512)):
        for half in range(2):
            b.conv(f"conv{2 * pair + half}", out, 3, 1, 1)
            if half:
                b.maxpool(f"pool{pair}", 2, 2)
            b.bn(f"bn{2 * pair + half}")
            b.relu(f"relu{2 * pair + half}")
    b.node("flatten", "flatten")
    b.linear("fc", classes)
    return b.graph(name)


def _mobilenet_v2(name: str, shape: Shape, classes: int) -> Graph:
    b = Builder(shape)

    b.conv("features.0.0", 32, 3, 2, 1)
    b.bn("features.0.1")
    b.node("features.0.2", "relu6")
    channels, index = 32, 1
    for expand, out, count, first_stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(count):
            stride = first_stride if block == 0 else 1
            source, prefix = b.last, f"features.{index}.conv"
            hidden, step = channels * expand, 0
            if expand != 1:
                b.conv(f"{prefix}.0.0", hidden, 1)
                b.bn(f"{prefix}.0.1")
                b.node(f"{prefix}.0.2", "relu6")
                step = 1
            b.conv(f"{prefix}.{step}.0", hidden, 3, stride, 1, groups=hidden)
            b.bn(f"{prefix}.{step}.1")
            b.node(f"{prefix}.{step}.2", "relu6")
            b.conv(f"{prefix}.{step + 1}", out, 1)
            last = b.bn(f"{prefix}.{step + 2}")
            if stride == 1 and channels == out:
                b.node(f"features.{index}.add", "add", last, source)
            channels, index = out, index + 1
    b.conv("features.18.0", 1280, 1)
    b.bn("features.18.1")
    b.node("features.18.2", "relu6")
    b.node("avgpool", "global_avgpool")
    b.node("flatten", "flatten")
    b.linear("classifier.1", classes)
    return b.graph(name)


def _small_cnn(name: str, shape: Shape, classes: int) -> Graph:
    """Three convolutions, for the demo and the tests."""
    b = Builder(shape)
    for index, out in enumerate((16, 32, 32)):
        b.conv(f"conv{index}", out, 3, 1 if index == 0 else 2, 1)
        b.bn(f"bn{index}")
        b.relu(f"relu{index}")
    b.node("avgpool", "global_avgpool")
    b.node("flatten", "flatten")
    b.linear("fc", classes)
    return b.graph(name)


# name -> (builder of (name, input shape, classes), default input shape, default classes)
MODELS: dict[str, tuple[Callable[[str, Shape, int], Graph], Shape, int]] = {
    "resnet18": (partial(_resnet_imagenet, blocks=(2, 2, 2, 2), bottleneck=False), IMAGENET, 1000),
    "resnet34": (partial(_resnet_imagenet, blocks=(3, 4, 6, 3), bottleneck=False), IMAGENET, 1000),
    "resnet50": (partial(_resnet_imagenet, blocks=(3, 4, 6, 3), bottleneck=True), IMAGENET, 1000),
    "alexnet": (_alexnet, IMAGENET, 1000),
    "vgg16": (_vgg16, IMAGENET, 1000),
    "mobilenet_v2": (_mobilenet_v2, IMAGENET, 1000),
    "resnet20": (partial(_resnet_cifar, blocks=3), CIFAR, 10),
    "resnet32": (partial(_resnet_cifar, blocks=5), CIFAR, 10),
    "resnet56": (partial(_resnet_cifar, blocks=9), CIFAR, 10),
    "vgg_small": (_vgg_small, CIFAR, 10),
    "small_cnn": (_small_cnn, (1, 28, 28), 10),
}


def build(name: str, input_shape: Shape | None = None, classes: int | None = None) -> Graph:
    """The built-in network called ``name``.

    Parameters
    ----------
    name : str
        A key of :data:`MODELS`.
    input_shape : (C, H, W), optional
        Instead of the network's usual one (224 x 224 or 32 x 32 images of 3 channels).
    classes : int, optional
        Instead of the usual 1000 or 10.

    Raises
    ------
    InputError
        For an unknown name or a shape that the network's windows do not fit.
    """
    if name not in MODELS:
        raise InputError(
            f"network {name!r} is unknown, expected one of {', '.join(MODELS)}{nearest(name, MODELS)}"
        )
    builder, usual_shape, usual_classes = MODELS[name]
    return builder(name, input_shape or usual_shape, classes or usual_classes)
