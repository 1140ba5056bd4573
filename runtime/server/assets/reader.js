// Shows /v1/openapi.json. Text only ever enters the page as text.
"use strict";
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};
const shape = (doc, schema, depth) => {
  if (!schema || depth > 5) return "…";
  if (schema.$ref) return shape(doc, doc.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  if (schema.enum) return schema.enum.join(" | ");
  const either = schema.oneOf || schema.anyOf;
  if (either) {
    const kinds = either.filter((s) => s.type !== "null").map((s) => shape(doc, s, depth + 1));
    return kinds.length === 1 ? kinds[0] : kinds;
  }
  const type = Array.isArray(schema.type) ? schema.type.filter((t) => t !== "null")[0] : schema.type;
  if (type === "array") return [shape(doc, schema.items, depth + 1)];
  if (type === "object" && schema.properties) {
    const out = {};
    for (const [name, value] of Object.entries(schema.properties)) {
      const optional = (schema.required || []).includes(name) ? "" : "?";
      out[name + optional] = shape(doc, value, depth + 1);
    }
    return out;
  }
  return type || "any";
};
const block = (doc, content) => {
  const box = document.createDocumentFragment();
  for (const [kind, media] of Object.entries(content || {})) {
    box.append(make("div", kind, "scope"));
    box.append(make("pre", JSON.stringify(shape(doc, media.schema, 0), null, 2)));
  }
  return box;
};
const operation = (doc, method, path, op) => {
  const box = make("details");
  const head = make("summary");
  head.append(make("span", method.toUpperCase(), "method"), make("code", path));
  head.append(make("span", op.summary || op.description || ""));
  head.append(make("span", op["x-scope"] || "", "scope"));
  const body = make("div", undefined, "body");
  body.append(make("p", op.description || ""));
  if (op.parameters) {
    const table = make("table");
    for (const p of op.parameters) {
      const row = make("tr");
      row.append(make("td", p.name), make("td", p.in), make("td", p.description || ""));
      table.append(row);
    }
    body.append(table);
  }
  if (op.requestBody) body.append(make("h3", "请求 · Request"), block(doc, op.requestBody.content));
  body.append(make("h3", "答复 · Answers"));
  for (const [status, answer] of Object.entries(op.responses)) {
    body.append(make("p", status + "  " + (answer.description || "")));
    if (status < "300") body.append(block(doc, answer.content));
  }
  box.append(head, body);
  return box;
};
const show = (doc) => {
  document.getElementById("version").textContent = doc.info.version;
  document.getElementById("about").textContent = doc.info.description || "";
  const main = document.getElementById("operations");
  for (const tag of doc.tags) {
    const part = make("section");
    part.append(make("h2", tag.description || tag.name));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, op] of Object.entries(item)) {
        if ((op.tags || []).includes(tag.name)) part.append(operation(doc, method, path, op));
      }
    }
    main.append(part);
  }
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const box of document.querySelectorAll("details")) {
      box.hidden = !box.querySelector("summary").textContent.toLowerCase().includes(wanted);
    }
  });
};
fetch("/v1/openapi.json").then((answer) => answer.json()).then(show);
