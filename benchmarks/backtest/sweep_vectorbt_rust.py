"""The sweep in vectorbt with its engine compiled beforehand from Rust (an optional package)."""

from __future__ import annotations

from backtest.sweep_vectorbt import main

if __name__ == "__main__":
    main("rust")
