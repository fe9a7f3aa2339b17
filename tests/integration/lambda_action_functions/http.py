"""The site of the tests of actions in Lambdas."""

from syncline import ActionCtx, HttpRouter, Request, Response, StreamingResponse

http = HttpRouter()


@http.route("/hook", methods=["POST"])
async def hook(ctx: ActionCtx, request: Request) -> Response:
    await ctx.run_mutation("messages:store", body=(await request.body()).decode())
    response = Response(bytes([0, 255]), status_code=201, headers={"x-url": str(request.url)})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@http.route("/stream")
async def stream(ctx: ActionCtx, request: Request) -> Response:
    async def pieces():
        yield "one "
        yield "two"

    return StreamingResponse(pieces(), media_type="text/plain")


@http.route("/breaks")
async def breaks(ctx: ActionCtx, request: Request) -> Response:
    async def pieces():
        yield "half"
        raise ValueError("broken off")

    return StreamingResponse(pieces(), media_type="text/plain")
