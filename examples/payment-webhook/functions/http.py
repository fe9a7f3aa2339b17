"""The address that the payment provider is given: POST <site>/webhooks/payments."""

from syncline import ActionCtx, ApplicationError, HttpRouter, PlainTextResponse, Request, Response

from .payments import receive

http = HttpRouter()


@http.route("/webhooks/payments", methods=["POST"])
async def payments(ctx: ActionCtx, request: Request) -> Response:
    """Any status but 2xx has the provider send the message again later."""
    # Byte by byte as it came: that is what was signed.
    payload = (await request.body()).decode()
    signature = request.headers.get("payment-signature", "")
    try:
        return PlainTextResponse(await receive(ctx, payload, signature))
    except ApplicationError:
        return PlainTextResponse("bad signature", status_code=400)
