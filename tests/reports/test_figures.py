"""Labels lie on nothing, and the SVG of several figures can stand on one page."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt

from reports.figures import label_points, name_ticks, panels, to_svg


def test_labels_do_not_overlap() -> None:
    figure, axis = plt.subplots(figsize=(5, 4))
    points = [(1.0, 1.0), (1.0, 1.01), (1.02, 1.0), (1.01, 1.02), (1.0, 1.0), (3.0, 2.0), (0.0, 0.0)]
    axis.scatter(*zip(*points, strict=True))
    label_points(axis, points, [f"a label {i}" for i in range(len(points))])
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == len(points)
    for i, box in enumerate(boxes):
        assert not any(box.shrunk(0.98, 0.98).overlaps(other) for other in boxes[i + 1 :])
    frame = axis.get_window_extent()
    assert all(frame.x0 <= box.x0 + 1 and box.x1 <= frame.x1 + 1 for box in boxes)
    plt.close(figure)


def test_names_of_many_layers_are_thinned() -> None:
    figure, axis = plt.subplots()
    name_ticks(axis, [f"layer {i}" for i in range(130)])
    assert [t.get_text() for t in axis.get_xticklabels()][:3] == ["layer 0", "layer 3", "layer 6"]
    name_ticks(axis, ["a", "b"])
    assert [t.get_text() for t in axis.get_xticklabels()] == ["a", "b"]
    plt.close(figure)


def test_five_panels_stand_in_three_rows() -> None:
    figure, axes = panels(5)
    assert len(axes) == len(figure.axes) == 5
    assert figure.get_size_inches()[1] == 3 * 3.2
    plt.close(figure)


def test_two_figures_share_no_identifier() -> None:
    found = []
    for name in ("one", "two"):
        figure, axis = plt.subplots(figsize=(2, 2))
        axis.plot([1, 2])
        text = to_svg(figure, name)
        found.append(set(re.findall(r'\bid="([^"]*)"', text)))
        assert set(re.findall(r'xlink:href="#([^"]*)"', text)) <= found[-1]
    assert not found[0] & found[1]
