"""vectorbt: the same arrays, its engine compiled beforehand from Rust (an optional package)."""

from __future__ import annotations

from backtest.peers.vectorbt_numba import main

if __name__ == "__main__":
    main("rust")
