"""From a table of series to a saved forecaster and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ..data.findings import count
from ..data.forecasttable import ForecastTable, read_forecast_table
from ..data.history import History, as_histories, filled_in, pace_of
from ..errors import TaskError
from ..models.forecaster import TrainedForecaster
from ..networks.layers import layer_name
from ..report.backtest import Backtest, Tell, draw_forecast, naive_quantiles
from ..report.pictures import save_losses
from ..report.tables import show_facts
from ..training.progress import under_way
from .forecast_baselines import ets_quantiles, has_ets
from .job import Job, Parts, Plan

DRAWN = 4  # horizons of the past in the picture


class Later(NamedTuple):
    """Whole series, and for each the first step that is told."""

    histories: list[History]
    begins: list[int]


class Forecast(Job[TrainedForecaster, ForecastTable]):
    """Series, and what comes next in them."""

    NOUN = "steps, told by turns"
    USE = "elman predict {} --output FORECASTS.csv"
    HUB = "time-series-forecasting"
    COLUMNS = ("target", "time", "id", "known")

    @classmethod
    def read(
        cls, model: TrainedForecaster, file: Path, columns: Mapping[str, Any], skip_bad: bool
    ) -> ForecastTable:
        """Series of the columns of training."""
        return read_forecast_table(file, columns, skip_bad=skip_bad)

    def rows(self, data: ForecastTable) -> Later:
        """The series, told from after the first season and context on."""
        first = self.model.outlook_.context + 1
        return Later(data.histories, [min(first, len(one) - 1) for one in data.histories])

    def arguments(self, rows: Sequence[History]) -> tuple[Sequence[History]]:
        """Series are all that `fit` takes."""
        return (rows,)

    def size(self, rows: Any) -> str:
        if isinstance(rows, Later):
            pairs = zip(rows.histories, rows.begins, strict=True)
            return count(sum(len(one) - begin for one, begin in pairs), "step")
        return count(sum(map(len, rows)), "step")

    def whole(self) -> str:
        return f"{self.size(self.data.histories)} of {len(self.data.histories):,} series"

    def source(self, data: ForecastTable) -> dict[str, Any]:
        said = self.model.training_["data"].get("train", {})
        return {**data.source, **said, "series": len(data.histories)}

    def describe(self, console: Console) -> None:
        histories, dated = as_histories(self.data.histories)
        pace = pace_of(histories, dated)
        full, added = zip(*(filled_in(one, pace) for one in histories), strict=True)
        missing = sum(int(np.isnan(one.values).sum()) for one in full)
        gaps = f", {missing / sum(map(len, full)):.1%} of values missing" if missing else ""
        console.print(f"{self.whole()}{gaps}")
        if sum(added):
            console.print(f"{count(sum(added), 'step')} without a row: their values are missing")
        season = self.model.season or pace.usual()
        console.print(f"season: {count(season, 'step')}" + ("" if season > 1 else ", none"))
        for note in self.data.notes:
            console.print(note)

    def cut(self, fraction: float, console: Console) -> tuple[list[History], Later]:
        """The end of each series is held out, as long as the horizon at least."""
        if not 0 < fraction < 1:
            raise TaskError(f"The validation fraction must lie between 0 and 1. Got {fraction}.")
        histories, H = self.data.histories, self.model.horizon
        begins = [len(one) - max(H, round(fraction * len(one))) for one in histories]
        short = [row for row, begin in enumerate(begins) if begin < 2]
        if short:
            raise TaskError(
                f"{len(short)} of {len(histories)} series have fewer than {H + 2} steps, the first "
                f"{len(histories[short[0]])}: too few to hold out {H} of them; lower --horizon."
            )
        learn = [one.until(begin) for one, begin in zip(histories, begins, strict=True)]
        return learn, Later(histories, begins)

    def fitted(self, held_out: Later) -> list[History]:
        return held_out.histories

    def judge(self, rows: Later, folder: Path, console: Console, trained: bool = False) -> Backtest:
        """MASE, CRPS and coverage of forecasts by turns, and pictures."""
        histories, begins = self._full(rows)
        found = self.model.backtest(histories, begins)
        told = f"{len(found.told):,} forecasts of {count(self.model.horizon, 'step')}"
        console.print(f"{found.words()}: {told}")
        folder.mkdir(parents=True, exist_ok=True)
        epochs = self.model.training_["epochs"] if trained else ()
        windows = self.model.windows(histories, begins)
        past, loss = DRAWN * self.model.horizon, self.model.head.measure

        def draw(axes: Any, _: Sequence[str]) -> None:
            draw_forecast(axes, windows, found, past)

        console.print(f"\n{save_losses(folder, epochs, loss, forecast=draw)}")
        return found

    def further(self, parts: Parts, plan: Plan, found: Backtest | None, console: Console) -> None:
        """The seasonal naive forecast and, with statsmodels, ETS."""
        if found is None or not plan.baseline:
            return
        histories, begins = self._full(parts.held_out)
        windows, whole = self.model.windows(histories, begins), self.model.distribution is not None

        def words(tell: Tell) -> str:
            return Backtest.of(windows, tell, found.quantiles, begins, whole).words()

        scores = {layer_name(self.model.cell, self.model.backend): found.words()}
        scores["seasonal naive"] = words(naive_quantiles)
        if has_ets():
            with under_way(console, "ETS"):
                scores["ETS"] = words(ets_quantiles)
        console.print()
        show_facts(scores, console)
        if not has_ets():
            console.print('ETS needs statsmodels: pip install "elman[series]"')

    def _full(self, rows: Later) -> tuple[list[History], list[int]]:
        """Series with the steps that have no row, and where they begin then."""
        return self.model.filled(rows.histories, rows.begins)
