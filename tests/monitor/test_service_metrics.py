"""What the service tells its metrics, without starting any load."""

from __future__ import annotations

import asyncio
from pathlib import Path

from monitor.config.settings import Settings
from monitor.service import Service


def test_the_page_has_the_limits_of_the_configuration(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": str(tmp_path),
            "deployment": {"endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
            "probes": [{"name": "chat"}],
            "faults": {"worker": {"objectives": {"recovery_seconds": 12, "failed_requests": 0}}},
            "slo": {"good_ratio": 0.995},
        }
    )

    async def page() -> str:
        service = Service(settings)
        try:
            return service.render_metrics()[0].decode()
        finally:
            service.store.close()
            service.metrics.shutdown()

    text = asyncio.run(page())
    assert "aftershock_slo_objective_ratio 0.995" in text
    assert 'aftershock_fault_objective_limit{fault="worker",objective="recovery_seconds"} 12.0' in text
    assert 'aftershock_fault_objective_limit{fault="worker",objective="failed_requests"} 0.0' in text
    assert text.count("aftershock_fault_objective_limit{") == 2
    assert "aftershock_reverts_stuck 0.0" in text
    assert "aftershock_store_pending_records 0.0" in text
