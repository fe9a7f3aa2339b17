"""Routes of every kind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi import Request as FastRequest

from syncline import (
    ActionCtx,
    ApplicationError,
    Cors,
    HttpRouter,
    JSONResponse,
    PlainTextResponse,
    Request,
    Response,
    StreamingResponse,
)

from .hooks import kept, receive

http = HttpRouter()
http.route("/hook", methods=["POST"])(receive)


@http.route("/echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
async def echo(ctx: ActionCtx, request: Request) -> Response:
    """What has arrived."""
    identity = await ctx.auth.get_user_identity()
    return JSONResponse(
        {
            "method": request.method,
            "url": str(request.url),
            "query": request.query_params.multi_items(),
            "sent": request.headers.getlist("x-sent"),
            "size": len(await request.body()),
            "user": identity and identity.subject,
        },
        headers={"x-answer": "yes"},
    )


@http.route(path_prefix="/files/")
async def any_file(ctx: ActionCtx, request: Request) -> Response:
    return PlainTextResponse(f"any {request.url.path}")


@http.route(path_prefix="/files/images/")
async def image(ctx: ActionCtx, request: Request) -> Response:
    return PlainTextResponse(f"image {request.url.path}")


@http.route("/files/exact")
async def exact(ctx: ActionCtx, request: Request) -> Response:
    return PlainTextResponse("exact")


@http.route("/cookies")
async def cookies(ctx: ActionCtx, request: Request) -> Response:
    response = PlainTextResponse("set")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@http.route("/shared", methods=["GET", "POST"], cors=Cors(origins=["https://app.example"]))
async def shared(ctx: ActionCtx, request: Request) -> Response:
    return JSONResponse({"shared": True})


@http.route("/stream")
async def stream(ctx: ActionCtx, request: Request) -> Response:
    """The second piece waits for something to be stored after the first was read."""

    async def pieces() -> AsyncIterator[str]:
        yield "first "
        while "go on" not in await ctx.run_query(kept):
            await asyncio.sleep(0.01)
        yield "second"

    return StreamingResponse(pieces(), media_type="text/plain")


@http.route("/endless")
async def endless(ctx: ActionCtx, request: Request) -> Response:
    """Goes on till its client leaves; says so."""

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0.001)
        finally:
            await ctx.run_mutation("hooks:keep", text="client left")

    return StreamingResponse(pieces())


@http.route("/breaks")
async def breaks(ctx: ActionCtx, request: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        yield "half"
        raise ValueError("broken off")

    return StreamingResponse(pieces())


@http.route("/crash")
async def crash(ctx: ActionCtx, request: Request) -> Response:
    raise ValueError("boom")


@http.route("/refuse")
async def refuse(ctx: ActionCtx, request: Request) -> Response:
    raise ApplicationError({"code": 7})


@http.route("/nothing")
async def nothing(ctx: ActionCtx, request: Request) -> Any:
    return {"no": "response"}


app = FastAPI()


@app.get("/items/{item}")
async def item(item: int, request: FastRequest) -> dict[str, Any]:
    ctx: ActionCtx = request.state.ctx
    return {"item": item, "kept": await ctx.run_query(kept)}


http.mount("/app/", app)
