#!/usr/bin/python3
# The race's tasks with Beaker.
import os

from beaker.session import SessionObject

task = os.environ["QUERY_STRING"]
session = SessionObject(dict(os.environ), type="file", data_dir=os.environ["BENCH_DIR"])


def headers():
    cookie = session.__dict__["_headers"]["cookie_out"]
    return "Content-Type: text/plain\n" + ("Set-Cookie:%s\n" % cookie if cookie else "") + "\n"


if task == "init":
    import json

    with open(os.environ["BENCH_DATA"]) as file:
        for key, value in json.load(file).items():
            session[key] = value
    session.save()
    session.persist()
    print(headers(), end="")
elif task == "first":
    session.save()
    session.persist()
    print(headers(), end="")
elif task == "get":
    print(session["name"])
else:
    session["visits"] += 1
    session.save()
    session.persist()
    visits = session["visits"]
    print(headers() + "Hello %s, visit %d." % (session["name"], visits) if task == "page" else visits)
