"""The picture: no name covers another, whatever the figures are."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compare.picture import LINE_PX, TOP, WIDTH, Point, Scale, draw, place

GROUPS = ("the article", "what people pick", "ours")
# What is measured: from a millisecond to hours, from hundredths of a cent to many dollars; often several alike.
POINTS = st.lists(
    st.builds(
        Point,
        st.sampled_from(["ours, container", "Mangum, buffered", "4 <streaming> & validated in a thread"]),
        st.sampled_from(GROUPS),
        st.sampled_from([303.0, 305.0]) | st.floats(1, 1e5),
        st.none() | st.sampled_from([419.0, 5_981.0, 5_984.0]) | st.floats(1, 1e6),
        st.sampled_from([0.0102, 0.0103]) | st.floats(1e-4, 50),
    ),
    min_size=1,
    max_size=20,
)


@given(POINTS)
def test_no_name_touches_another_or_leaves_the_picture(points: list[Point]) -> None:
    height = max(360, len(points) * LINE_PX + 8)
    across = Scale([ms for point in points for ms in (point.ttft_ms, point.end_ms)], 78, 598)
    labels = place(points, across, Scale([point.usd for point in points], TOP + height, TOP), height)
    assert len(labels) == len(points)
    ys = [label.y for label in labels]
    assert all(below - above >= LINE_PX - 1e-6 for above, below in itertools.pairwise(ys))
    assert min(ys) >= TOP + 8 and max(ys) <= TOP + height
    # In the order of their dots, so that lines from names to dots do not cross.
    assert [label.point.usd for label in labels] == sorted((point.usd for point in points), reverse=True)


@given(POINTS)
def test_any_figures_make_a_picture_that_an_xml_parser_reads(points: list[Point]) -> None:
    root = ElementTree.fromstring(draw(points, ["LiteLLM <proxy> & more"], "2.7 KB"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(point.name in texts for point in points)
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 3 + sum(1 + (point.validated_ms is not None) for point in points)
    assert all(0 <= float(dot.get("cx", "nan")) <= WIDTH for dot in dots)
    assert any(text and "not measured" in text for text in texts)


def test_a_scale_keeps_ratios_and_its_ticks_lie_within() -> None:
    scale = Scale([10, 1000], 0, 100)
    assert scale(100) - scale(10) == pytest.approx(scale(1000) - scale(100))
    assert 0 < scale(10) < scale(1000) < 100
    assert scale.ticks() == [10, 20, 50, 100, 200, 500, 1000]


def test_more_names_than_there_is_room_for_are_refused_and_nothing_is_no_picture() -> None:
    points = [Point("one", "ours", 1, 2, 3)] * 3
    with pytest.raises(ValueError, match="expected room for 3"):
        place(points, Scale([1, 2], 0, 1), Scale([3], 1, 0), 2 * LINE_PX)
    with pytest.raises(ValueError, match="at least one variant"):
        draw([], [], "")
