"""Serve translators to a browser: `cyclegan serve`. No other part of the runtime knows starlette and uvicorn."""
