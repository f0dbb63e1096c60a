"""Shows translators in a browser: `cyclegan serve`. The one part of the runtime that knows starlette and uvicorn."""
