"""The gallery for programs that speak nothing but HTTP: POST <site>/upload, GET <site>/image."""

from syncline import ActionCtx, Cors, HttpRouter, JSONResponse, PlainTextResponse, Request, Response

from .images import BYTES_MAX, TYPES

http = HttpRouter()
anybody = Cors(origins=["*"], headers=["Content-Type"])


@http.route("/upload", methods=["POST"], cors=anybody)
async def upload(ctx: ActionCtx, request: Request) -> Response:
    """Store the body and hang it; `?title=` names it."""
    kind = request.headers.get("content-type", "")
    if kind not in TYPES:
        return PlainTextResponse("The gallery takes images.", status_code=415)
    body = await request.body()
    if len(body) > BYTES_MAX:
        return PlainTextResponse("The gallery takes up to 4 MB.", status_code=413)
    file = await ctx.storage.store(body, content_type=kind)
    title = request.query_params.get("title", "")
    image = await ctx.run_mutation("images:add", title=title, file=file)
    return JSONResponse({"image": image, "file": file}, status_code=201)


@http.route("/image", methods=["GET"], cors=anybody)
async def image(ctx: ActionCtx, request: Request) -> Response:
    """The file `?file=<storage id>`, if it hangs in the gallery."""
    file = request.query_params.get("file", "")
    kind = await ctx.run_query("images:content_type", file=file)
    content = None if kind is None else await ctx.storage.get(file)
    if content is None:
        return PlainTextResponse("There is no such image.", status_code=404)
    return Response(content, media_type=kind)
