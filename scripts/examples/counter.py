#!/usr/bin/env python3
# Counts your visits, in Python.
import json
import os
import subprocess


# Runs cgisession and returns what it prints. It starts no shell, so nothing needs
# quoting. On a failure the script ends here, with the reason in the server's log.
def cgisession(*args):
    return subprocess.run(["cgisession", *args], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


session = json.loads(cgisession("load", "--json"))
for line in session["headers"]:
    print(line)

# From here on every call means this session, also on a first visit, when the
# browser has sent no cookie yet.
os.environ.update(session["env"])

visits = cgisession("incr", "visits").strip()

print(f"""Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<title>Counter</title>
<p>Visit {visits}.</p>""")
