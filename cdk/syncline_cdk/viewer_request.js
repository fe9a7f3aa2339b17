// Runs at CloudFront for every request to /api/sync and /api/<client version>/sync.
// API Gateway knows a WebSocket API by its stage alone and drops every other path, so the path is
// replaced, and the version in it travels on as the query parameter `client`.
var PATH = /^\/+api\/(?:([0-9A-Za-z.+_-]{1,64})\/)?sync$/;

function handler(event) {
    var request = event.request;
    var match = PATH.exec(request.uri);
    if (!match) {
        return { statusCode: 404, statusDescription: 'Not Found' };
    }
    request.uri = '/STAGE';
    delete request.querystring.client;
    if (match[1]) {
        request.querystring.client = { value: match[1] };
    }
    return request;
}
