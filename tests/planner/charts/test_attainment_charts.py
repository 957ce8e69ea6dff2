"""The figures of attainment show the hours' own shares, leave no hour out of place and no missing one as zero."""

import pytest

from planner.capacity.hours import plan_hours
from planner.capacity.staircase import AttainmentRow, CapacityCurve, CapacityPlan, FleetRules
from planner.charts.attainment import attainment_by_hour, attainment_heat_map, staircase
from planner.workload import WeekShape

CURVE = CapacityCurve(
    replicas=(1, 2),
    max_requests_per_s=(1.0, 2.0),
    busy_s_per_request=0.5,
    requests_outside_hull_frac=0.0,
    attainment=(AttainmentRow(replicas=1, requests_per_replica_s=(0.0, 1.0), attained_frac=(1.0, 0.9)),),
)
"""On one replica the attainment falls from 100 % to 90 % at 1/s, along a line."""


@pytest.fixture
def week() -> CapacityPlan:
    """Tuesday 05:00 is the fullest hour, Sunday 23:00 has no requests; one replica, none to spare."""
    weights = [1.0] * 168
    weights[24 + 5], weights[167] = 2.0, 0.0
    shape = WeekShape(name="by hand", weights=tuple(weights), source="by hand")
    return plan_hours(CURVE, 0.5, shape, FleetRules(spare_replicas=0))


def test_the_bars_of_an_hour_stand_at_its_place_and_make_up_all(week: CapacityPlan) -> None:
    own, missed = attainment_by_hour(week, 0.9).data  # nobody leaves without an API
    assert list(own.x) == list(range(167))  # the hour without requests has no bar
    assert own.y[29] == pytest.approx(0.9)
    assert own.y[30] == pytest.approx(0.95)
    assert (own.name, missed.name) == ("own machines, in time", "missed")
    assert [a + b for a, b in zip(own.y, missed.y, strict=True)] == pytest.approx([1.0] * 167)
    assert own.customdata[29] == "Tue 05:00"


def test_the_axis_begins_below_what_is_shown(week: CapacityPlan) -> None:
    figure = attainment_by_hour(week, 0.9)
    bottom, top = figure.layout.yaxis.range
    assert top == 1.0
    assert bottom < min(figure.data[0].y)
    assert bottom == pytest.approx(0.85)


def test_the_map_has_a_row_per_day_and_a_hole_where_there_are_no_requests(week: CapacityPlan) -> None:
    (map_,) = attainment_heat_map(week, 0.95).data
    assert (len(map_.z), {len(row) for row in map_.z}) == (7, {24})
    assert map_.z[1][5] == pytest.approx(0.9)
    assert map_.z[6][23] is None
    assert map_.customdata[6][23] == "Sun 23:00: no requests in this hour"
    assert "missed 10.00%" in map_.customdata[1][5]
    assert (map_.zmin, map_.zmax) == (pytest.approx(0.9), 1.0)


def test_the_staircase_shows_the_fullest_hour(week: CapacityPlan) -> None:
    figure = staircase(CURVE, week)
    assert (figure.data[0].x, figure.data[0].y) == ((1, 2), (1.0, 2.0))
    assert (figure.layout.shapes[0].y0, figure.layout.annotations[0].text) == (1.0, "fullest hour 1/s")
