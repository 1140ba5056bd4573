"""Names of things that are there, so that the generated requests reach past `not found`: half of the paths and bodies get them."""
import json, os, zlib

import schemathesis

NAMES = json.load(open(os.environ["YUNEI_NAMES"]))
# What stands in a path after these words, and in a body under these.
PATHS = {"datasets": "dataset", "models": "model", "products": "product", "grants": "grant", "institutions": "institution",
         "runs": "run", "requests": "request", "issuers": "issuer"}
BODIES = ("dataset", "product", "institution", "purpose")


def chosen(seed, names):
    number = zlib.crc32(repr(seed).encode())
    return names[(number >> 1) % len(names)] if names and number & 1 else None


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    if not isinstance(path_parameters, dict):
        return path_parameters
    parts = ctx.operation.path.split("/")
    kind = PATHS.get(parts[2]) if len(parts) > 2 else None
    if "kind" in path_parameters:
        kind = chosen(path_parameters["kind"], ["dataset", "model", "product", "institution", "grant"])
        if kind:
            path_parameters["kind"] = kind
    name = chosen(path_parameters.get("id"), NAMES.get(kind, []))
    if name and "id" in path_parameters:
        path_parameters["id"] = name
    return path_parameters


@schemathesis.hook
def map_body(ctx, body):
    if isinstance(body, dict):
        for word in BODIES:
            name = chosen(body.get(word), NAMES.get(word, []))
            if name and word in body:
                body[word] = name
    return body
