"""Answers and bodies held against /openapi.json: the part of JSON Schema that the document uses."""
import re

PLAIN = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def type_fits(name, value):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, PLAIN[name])


class Document:
    def __init__(self, document):
        self.document = document

    def fault(self, schema, value, at):
        """Where value breaks the schema, or None."""
        if "$ref" in schema:
            return self.fault(self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value, at)
        if "anyOf" in schema:
            found = [self.fault(choice, value, at) for choice in schema["anyOf"]]
            return None if None in found else found[0]
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(type_fits(name, value) for name in types):
            return f"{at}: {value!r} is no {types}"
        if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{at}: {value!r} does not fit {schema['pattern']}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{at}: {value!r} is not one of {schema['enum']}"
        if isinstance(value, list):
            return next(filter(None, (self.fault(schema.get("items", {}), v, f"{at}[{i}]") for i, v in enumerate(value))), None)
        if isinstance(value, dict):
            missing = [name for name in schema.get("required", []) if name not in value]
            if missing:
                return f"{at}: {missing} missing"
            return next(filter(None, (self.field_fault(schema, name, v, at) for name, v in value.items())), None)
        return None

    def field_fault(self, schema, name, value, at):
        known = schema.get("properties", {}).get(name)
        others = schema.get("additionalProperties", True)
        if known is None and others is False:
            return f"{at}.{name} is not in the document"
        known = known if known is not None else others
        return self.fault(known, value, f"{at}.{name}") if isinstance(known, dict) else None

    def operation(self, method, path):
        """The document's entry for a real path: a fixed one before one with a parameter."""
        for pattern in sorted(self.document["paths"], key=lambda p: "{" in p):
            if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", pattern), path.split("?")[0]):
                if method.lower() in self.document["paths"][pattern]:
                    return self.document["paths"][pattern][method.lower()]
        raise AssertionError(f"{method} {path} is not in the document")

    def operations(self):
        """(method, pattern, entry) of each."""
        for pattern, methods in self.document["paths"].items():
            for method, entry in methods.items():
                yield method.upper(), pattern, entry

    def check_body(self, entry, body):
        content = entry["requestBody"]["content"].get("application/json", {})
        if "schema" in content:
            found = self.fault(content["schema"], body, "body")
            assert found is None, found

    def check_answer(self, entry, answer, what):
        status = next(name for name in entry["responses"] if name != "default")
        content = entry["responses"][status]["content"].get("application/json", {})
        if "schema" in content:
            found = self.fault(content["schema"], answer, what)
            assert found is None, found

    def check_problem(self, answer, status):
        found = self.fault(self.document["components"]["schemas"]["Problem"], answer, f"problem {status}")
        assert found is None, found
        assert answer["status"] == status and answer["type"] == "urn:hypermesh:error:" + answer["code"], answer
