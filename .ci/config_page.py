"""Write docs/configuration.md anew from the tables in gateway/config/."""

from pathlib import Path

from gateway.config.page import page

Path(__file__).resolve().parents[1].joinpath("docs/configuration.md").write_text(page())
