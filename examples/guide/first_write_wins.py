# Listing 4 of 5: get an ETag, save with it, delete with it.
#
# `changed` and `added` mark each line that differs from the guide, and say why.

import os # added: for the port
import sys # added: to stop with a message
import requests
import json

store_name = "redis-store" # name of the state store as specified in state store component yaml file
# changed: not always port 3500. `steadfast run` takes the next free one, and says so in DAPR_HTTP_PORT.
dapr_state_url = "http://localhost:{}/v1.0/state/{}".format(os.environ.get("DAPR_HTTP_PORT", "3500"), store_name)
response = requests.get(dapr_state_url + "/key1", headers={"concurrency":"first-write"})
# added: a key that is not there is answered with 204 and has no ETag; the next line would end in
# KeyError: 'etag'.
if response.status_code != 200:
    sys.exit("get: {} {}\nIf that is 204: there is no key1, run save_state.py first".format(response.status_code, response.text))
etag = response.headers['ETag']
# changed, three times:
# - {{ and }}: str.format takes a single brace for a place to fill in (KeyError: ' "key"').
# - "{}" in quotes: the ETag of a SQL store is a UUID, which is no JSON number. Quotes are right for
#   every store; without them only an ETag that is a number, as Redis has it, is accepted.
# - "key1", where the guide has "k1": an ETag belongs to the key that it was read with.
newState = '[{{ "key": "key1", "value": "New Data", "etag": "{}", "options": {{ "concurrency": "first-write" }}}}]'.format(etag)

response = requests.post(dapr_state_url, json=newState) # changed: `response =`, for the next line
print("save with the ETag:", response.status_code, response.text) # added: 200
# As printed, and rightly refused with 409: the save above has made a new version, so this ETag is
# out of date. The first write has won.
response = requests.delete(dapr_state_url + "/key1", headers={"If-Match": "{}".format(etag)})
print("delete with the old ETag:", response.status_code, response.text) # added
# added: what the guide says to do then, which is to read again and use the new ETag.
etag = requests.get(dapr_state_url + "/key1").headers['ETag']
response = requests.delete(dapr_state_url + "/key1", headers={"If-Match": "{}".format(etag)})
print("delete with the new ETag:", response.status_code, response.text) # 204
