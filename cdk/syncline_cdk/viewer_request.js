// Runs at CloudFront for every request to /api/sync, /api/<client version>/sync,
// /api/import/upload_part and /api/storage/upload.
// API Gateway knows a WebSocket API by its stage alone and drops every other path, so the path is
// replaced, and the version in it travels on as the query parameter `client`.
// An upload that Lambda can't take would be refused behind here with a message that helps nobody, so
// it ends here.
var SOCKET = /^\/+api\/(?:([0-9A-Za-z.+_-]{1,64})\/)?sync$/;
var UPLOADS = {
    '/api/import/upload_part': {
        code: 'PartTooLarge',
        message: 'The API of this deployment takes parts of at most PART_BYTES_MAX bytes. Use ' +
            '`syncline import`, which uploads large files directly to where they are kept.'
    },
    '/api/storage/upload': {
        code: 'FileTooLarge',
        message: 'Upload URLs of this deployment take files of at most PART_BYTES_MAX bytes. Ask for ' +
            'a URL with `direct=True`, by which larger files go directly to where they are kept.'
    }
};

function handler(event) {
    var request = event.request;
    if (UPLOADS[request.uri]) {
        return upload(request, UPLOADS[request.uri]);
    }
    var match = SOCKET.exec(request.uri);
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

function upload(request, refusal) {
    var length = request.headers['content-length'];
    if (!length || Number(length.value) <= PART_BYTES_MAX) {
        return request;
    }
    return {
        statusCode: 413,
        statusDescription: 'Content Too Large',
        headers: {
            'access-control-allow-origin': { value: '*' },
            'content-type': { value: 'application/json' }
        },
        body: { encoding: 'text', data: JSON.stringify(refusal) }
    };
}
