"""Frames of pandas and polars, of what the real server answers."""

import sys

import pandas
import polars
import pytest

from taghouse import FrameMissing, Problem, Taghouse


def test_members(shop: Taghouse) -> None:
    of_pandas = shop.members_frame("pros")
    assert isinstance(of_pandas, pandas.DataFrame)
    assert of_pandas.to_dict("list") == {"user_id": ["ann"]}
    of_polars = shop.members_frame("pros", "polars")
    assert isinstance(of_polars, polars.DataFrame)
    assert of_polars.to_dicts() == [{"user_id": "ann"}]
    versioned = shop.members_frame("pros", "polars", version=1)
    assert versioned.equals(of_polars)


def test_profiles(shop: Taghouse) -> None:
    users = ["ben", "ann", "eve"]
    of_pandas = shop.profile_frame(users)
    assert list(of_pandas["user_id"]) == users
    assert set(of_pandas.columns) >= {"user_id", "city", "colours", "orders", "plan", "spent"}
    # A count stays a whole number beside users who have none.
    assert str(of_pandas["orders"].dtype) == "Int64"
    assert list(of_pandas["orders"].isna()) == [True, False, True]
    of_polars = shop.profile_frame(users, ["plan", "orders", "colours"], library="polars")
    assert of_polars.columns == ["user_id", "plan", "orders", "colours"]
    assert of_polars["orders"].to_list() == [None, 2, None]
    assert of_polars["colours"].to_list() == [None, ["blue", "red"], None]


def test_a_user_nobody_knows_is_an_error(shop: Taghouse) -> None:
    with pytest.raises(Problem, match='there is no user "nobody"'):
        shop.profile_frame(["ann", "nobody"])


def test_a_missing_library_is_named(shop: Taghouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(FrameMissing, match=r"pip install 'taghouse\[polars\]'"):
        shop.members_frame("pros", "polars")
    assert len(shop.members_frame("pros")) == 1
