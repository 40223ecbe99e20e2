//! Files as people write them, and what they are told.

use super::check;

/// What a file is about, its text, and one line for each thing found in it.
type Text = (&'static str, &'static str, &'static [&'static str]);

#[test]
fn each_text_is_answered_as_written_here() {
    for (name, text, expected) in TEXTS {
        assert_eq!(&check(&[("f.yaml", text)]), expected, "{name}");
    }
}

const TEXTS: &[Text] = &[
    (
        "the component that `dapr init` writes",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: statestore
spec:
  type: state.redis
  version: v1
  metadata:
  - name: redisHost
    value: localhost:6379
  - name: redisPassword
    value: \"\"
  - name: actorStateStore
    value: \"true\"
",
        &["statestore state.redis: actorStateStore=true, redisHost=localhost:6379, redisPassword="],
    ),
    (
        "scalars become the text that Dapr makes of them",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: 12}
spec:
  type: state.redis
  metadata:
  - {name: a, value: 1.0}
  - {name: b, value: \"1.0\"}
  - {name: c, value: true}
  - {name: d, value: 1e3}
  - {name: e, value: 010}
  - {name: f, value: 1e21}
  - {name: g, value: 0.0000001}
  - {name: h, value: 2026-01-31}
  - {name: i, value: yes}
  - {name: j, value: {b: [1.0, x], a: null}}
  - {name: k, value: -0.5}
",
        &[
            "warning: f.yaml:8:22: the value of `a` is a number, and is not kept as it is written; put \
             it in quotes if it is meant as text",
            "warning: f.yaml:11:22: the value of `d` is a number, and is not kept as it is written; put \
             it in quotes if it is meant as text",
            "warning: f.yaml:12:22: the value of `e` is a number, and is not kept as it is written; put \
             it in quotes if it is meant as text",
            "warning: f.yaml:13:22: the value of `f` is a number, and is not kept as it is written; put \
             it in quotes if it is meant as text",
            "warning: f.yaml:14:22: the value of `g` is a number, and is not kept as it is written; put \
             it in quotes if it is meant as text",
            "12 state.redis: a=1, b=1.0, c=true, d=1000, e=8, f=1e+21, g=1e-7, h=2026-01-31, \
             i=true, j={\"a\":null,\"b\":[1,\"x\"]}, k=-0.5",
        ],
    ),
    (
        "a block of text is kept with its lines",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.mysql
  metadata:
  - name: pemContents
    value: |
      -----BEGIN CERTIFICATE-----
      MII
",
        &["store state.mysql: pemContents=-----BEGIN CERTIFICATE-----\nMII"],
    ),
    (
        "resources of other kinds, and nothing at all",
        "
# nothing
---
---
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: config}
spec: {tracing: {samplingRate: \"1\"}}
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: resiliency}
spec: {policies: {}, targets: {}}
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: {name: orders}
---
apiVersion: apps/v1
kind: Deployment
spec: {type: x}
---
",
        &[],
    ),
    (
        "a directive before the first document",
        "%YAML 1.2
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: state.in-memory}
...
",
        &["store state.in-memory:"],
    ),
    (
        "a list instead of a document",
        "
- name: redisHost
  value: localhost
",
        &["problem: f.yaml:2:1: the document is a list, not a mapping; a component begins with \
             `apiVersion: dapr.io/v1alpha1`"],
    ),
    (
        "text instead of a document",
        "state.redis",
        &["problem: f.yaml:1:1: the document is text, not a mapping; a component begins with \
             `apiVersion: dapr.io/v1alpha1`"],
    ),
    (
        "a misspelt apiVersion",
        "
apiVersion: darp.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: state.in-memory}
",
        &["problem: f.yaml:2:13: a component cannot have apiVersion `darp.io/v1alpha1`; write \
             `apiVersion: dapr.io/v1alpha1`"],
    ),
    (
        "no apiVersion",
        "
apiVerison: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: state.in-memory}
",
        &["problem: f.yaml:2:1: the component has no `apiVersion`; write `apiVersion: \
             dapr.io/v1alpha1`"],
    ),
    (
        "a misspelt kind",
        "
apiVersion: dapr.io/v1alpha1
kind: component
metadata: {name: store}
spec: {type: state.in-memory}
---
apiVersion: dapr.io/v1alpha1
kind: Components
---
metadata: {name: store}
spec: {type: state.in-memory}
",
        &[
            "problem: f.yaml:3:7: there is no kind `component`; write `kind: Component`",
            "problem: f.yaml:8:7: there is no kind `Components`; write `kind: Component`",
            "problem: f.yaml:10:1: the document has no `kind`; write `kind: Component`",
        ],
    ),
    (
        "no name",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {namespace: prod}
spec: {type: state.in-memory}
---
apiVersion: dapr.io/v1alpha1
kind: Component
spec: {type: state.in-memory}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: store
spec: {type: state.in-memory}
",
        &[
            "problem: f.yaml:4:11: `metadata.name` is missing; write `metadata: {name: \
             statestore}`, with the name that the application uses",
            "problem: f.yaml:7:1: `metadata.name` is missing; write `metadata: {name: \
             statestore}`, with the name that the application uses",
            "problem: f.yaml:13:11: `metadata` should be a mapping, not text; write `metadata: \
             {name: statestore}`, with the name that the application uses",
        ],
    ),
    (
        "names that no URL can carry",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: a/b}
spec: {type: state.in-memory}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: ..}
spec: {type: state.in-memory}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: [a]}
spec: {type: state.in-memory}
",
        &[
            "problem: f.yaml:4:18: `metadata.name` cannot be `a/b`; use letters, digits, `-` and \
             `.`",
            "problem: f.yaml:9:18: `metadata.name` cannot be `..`; use letters, digits, `-` and \
             `.`",
            "problem: f.yaml:14:18: `metadata.name` should be text, not a list; write one word, \
             in quotes if need be",
        ],
    ),
    (
        "no spec, and none to speak of",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: a}
spec:
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: b}
spec: [state.in-memory]
",
        &[
            "problem: f.yaml:2:1: `spec` is missing; write `spec:` and, indented below it, \
             `type` and `metadata`",
            "problem: f.yaml:10:7: `spec` should be a mapping, not a list; indent `type` and \
             `metadata` below `spec:`",
        ],
    ),
    (
        "a spec that is not indented",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: store
spec:
type: state.redis
",
        &[
            "problem: f.yaml:2:1: `spec` is missing; write `spec:` and, indented below it, \
             `type` and `metadata`",
            "problem: f.yaml:7:1: the document has no field `type`; write it below `spec`",
        ],
    ),
    (
        "no type",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  version: v1
",
        &["problem: f.yaml:6:3: `spec.type` is missing; write `type: state.redis`, with the \
             store of your choice"],
    ),
    (
        "types of no building block",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: a}
spec: {type: foo.bar}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: b}
spec: {type: sate.redis}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: c}
spec: {type: redis}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: d}
spec: {type: state.}
",
        &[
            "problem: f.yaml:5:14: `spec.type` is `foo.bar`, and there is no building block \
             `foo`; the types of state stores begin with `state.`",
            "problem: f.yaml:10:14: `spec.type` is `sate.redis`, and there is no building block \
             `sate`; did you mean `state.redis`?",
            "problem: f.yaml:15:14: `spec.type` is `redis`, which does not say what it is a type \
             of; if it is a state store, write `type: state.redis`",
            "problem: f.yaml:20:14: `spec.type` is `state.`, which names no store; write `type: \
             state.redis`, with the store of your choice",
        ],
    ),
    (
        "other building blocks",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: a}
spec: {type: PubSub.redis, metadata: {not: ours}}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: b}
spec: {type: middleware.http.routeralias}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: c}
spec: {type: secretstores.kubernetes}
",
        &[
            "warning: f.yaml:12:1: the secret store `c` cannot be used: this sidecar does not run in \
             a pod of Kubernetes, where `KUBERNETES_SERVICE_HOST` is set",
            "skipped a: it is not a state store",
            "skipped b: it is not a state store",
        ],
    ),
    (
        "metadata as a mapping instead of a list",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
    redisHost: localhost:6379
    redisPassword: hunter2
",
        &["problem: f.yaml:8:5: `spec.metadata` should be a list, not a mapping; write a list: \
             `- name: redisHost` and, below it, `value: ...`"],
    ),
    (
        "metadata as a list of mappings of its own",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - redisHost: localhost:6379
  - redisPassword
",
        &[
            "problem: f.yaml:8:5: a metadata field without `name`; write a list: `- name: \
             redisHost` and, below it, `value: ...`",
            "problem: f.yaml:9:5: a metadata field should be a mapping, not text; write a list: \
             `- name: redisHost` and, below it, `value: localhost:6379`",
        ],
    ),
    (
        "metadata with neither name nor value",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisHost
  - value: localhost:6379
  - name: \"\"
    value: a
  - name: [a]
    value: a
  - name: redisDB
    vlaue: 3
",
        &[
            "problem: f.yaml:8:5: metadata field `redisHost` has no `value`; write `value: \"\"` \
             if it is to be empty",
            "problem: f.yaml:9:5: a metadata field without `name`; write a list: `- name: \
             redisHost` and, below it, `value: localhost:6379`",
            "problem: f.yaml:10:5: a metadata field with an empty `name`; write a list: `- name: \
             redisHost` and, below it, `value: localhost:6379`",
            "problem: f.yaml:12:11: `name` should be text, not a list; write one word, in quotes \
             if need be",
            "problem: f.yaml:14:5: metadata field `redisDB` has no `value`; write `value: \"\"` \
             if it is to be empty",
            "problem: f.yaml:15:5: a metadata field has no field `vlaue`; did you mean `value`?",
        ],
    ),
    (
        "an unquoted password that YAML takes for a comment",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisPassword
    value: #hunter2
",
        &[
            "warning: f.yaml:9:10: the value of `redisPassword` is empty; write `value: \"\"` if \
             it is meant to be; text that begins with `#` or `&` needs quotes",
            "store state.redis: redisPassword=",
        ],
    ),
    (
        "one metadata field twice",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisHost
    value: a
  - name: redishost
    value: b
",
        &["problem: f.yaml:10:5: metadata field `redishost` is here for the second time; \
             remove one of the two; the other is in line 8"],
    ),
    (
        "keys twice, in the same case and not",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  type: state.in-memory
  metadata:
  - {name: a, value: {b: 1, B: 2, b: 3}}
auth:
  secretStore: a
  secretstore: b
",
        &[
            "problem: f.yaml:7:3: `type` is here for the second time; remove one of the two; the \
             other is in line 6",
            "problem: f.yaml:9:35: `b` is here for the second time; remove one of the two; the \
             other is in line 9",
            "problem: f.yaml:12:3: `secretstore` is here for the second time; remove one of the \
             two; the other is in line 11",
        ],
    ),
    (
        "fields at the wrong level",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  scopes: [shop]
  auth: {secretStore: vault}
ignoreErrors: true
secretStore: vault
",
        &[
            "problem: f.yaml:7:3: `spec` has no field `scopes`; write it at the top level, \
             beside `spec`",
            "problem: f.yaml:8:3: `spec` has no field `auth`; write it at the top level, beside \
             `spec`",
            "problem: f.yaml:9:1: the document has no field `ignoreErrors`; write it below `spec`",
            "problem: f.yaml:10:1: the document has no field `secretStore`; write it below \
             `auth`, at the top level",
        ],
    ),
    (
        "misspelt fields",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store, namspace: prod, labels: {app: shop}}
spec:
  type: state.redis
  intiTimeout: 5s
  comment: none
  metadata:
  - name: a
    secretKeyref: {nmae: b}
auth: {secretstores: vault}
scope: [shop]
status: {}
",
        &[
            "warning: f.yaml:8:3: `spec` has no field `comment`; it is ignored",
            "warning: f.yaml:14:1: the document has no field `status`; it is ignored",
            "problem: f.yaml:4:25: `metadata` has no field `namspace`; did you mean `namespace`?",
            "problem: f.yaml:7:3: `spec` has no field `intiTimeout`; did you mean `initTimeout`?",
            "problem: f.yaml:10:5: the `secretKeyRef` of `a` does not name a secret; write \
             `secretKeyRef: {name: <secret>, key: <key>}`",
            "problem: f.yaml:11:20: `secretKeyRef` has no field `nmae`; did you mean `name`?",
            "problem: f.yaml:12:8: `auth` has no field `secretstores`; did you mean `secretStore`?",
            "problem: f.yaml:13:1: the document has no field `scope`; did you mean `scopes`?",
        ],
    ),
    (
        "values of the wrong type",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  version: [v1]
  ignoreErrors: \"true\"
  initTimeout: 5
  metadata:
  - {name: a, secretKeyRef: b}
  - {name: c, envRef: [D]}
auth: vault
scopes: shop
",
        &[
            "warning: f.yaml:9:16: `spec.initTimeout` is no positive duration, so 5 s are used; \
             write a number and a unit, such as `30s`",
            "problem: f.yaml:7:12: `spec.version` should be text, not a list; write one word, in \
             quotes if need be",
            "problem: f.yaml:8:17: `spec.ignoreErrors` should be true or false, not text; write \
             `ignoreErrors: true`, without quotes",
            "problem: f.yaml:11:29: `secretKeyRef` should be a mapping, not text; write \
             `secretKeyRef: {name: <secret>, key: <key>}`",
            "problem: f.yaml:12:23: `envRef` should be text, not a list; write one word, in \
             quotes if need be",
            "problem: f.yaml:13:7: `auth` should be a mapping, not text; write `auth: \
             {secretStore: <name>}`",
            "problem: f.yaml:14:9: `scopes` should be a list, not text; write `scopes: [app1, \
             app2]`",
        ],
    ),
    (
        "scopes of the wrong type",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: state.redis}
scopes: [[shop], shop]
",
        &["problem: f.yaml:6:10: a scope should be an application's id, not a list; write \
             `scopes: [app1, app2]`"],
    ),
    (
        "a key prefix with the separator, and one in upper case",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: a}
spec:
  type: state.redis
  metadata:
  - {name: keyPrefix, value: \"shop||\"}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: b}
spec:
  type: state.redis
  metadata:
  - {name: keyprefix, value: Shop}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: \"c||c\"}
spec:
  type: state.redis
  metadata:
  - {name: keyPrefix, value: Name}
",
        &[
            "warning: f.yaml:16:5: `keyPrefix` is used in lower case; write it in lower case, so \
             that nobody is misled",
            "problem: f.yaml:8:5: `keyPrefix` contains `||`, which separates the prefix from the \
             key; write a prefix without it; it is added",
            "problem: f.yaml:24:5: `keyPrefix` is `name`, and the component's name contains `||`, or \
             ends in `|`; give the component a name without it",
            "b state.redis: keyprefix=Shop",
        ],
    ),
    (
        "a secret without a store, or without a name",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisPassword
    secretKeyRef: {name: redis, key: password}
  - name: redisUsername
    secretKeyRef: {key: user}
",
        &[
            "problem: f.yaml:8:5: metadata field `redisPassword`: the component does not say \
             which secret store `redis` is in; write `auth: {secretStore: <name>}` at the top \
             level",
            "problem: f.yaml:10:5: the `secretKeyRef` of `redisUsername` does not name a secret; \
             write `secretKeyRef: {name: <secret>, key: <key>}`",
        ],
    ),
    (
        "a secret store that is not there",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisPassword
    secretKeyRef: {name: redis}
auth: {secretStore: kubernetes}
",
        &["problem: f.yaml:8:5: metadata field `redisPassword`: there is no secret store \
             `kubernetes`; add one, of type `secretstores.local.file` or \
             `secretstores.local.env`"],
    ),
    (
        "environment variables that are forbidden, empty or not there",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - {name: a, envRef: DAPR_API_TOKEN}
  - {name: b, envRef: APP_API_TOKEN}
  - {name: c, envRef: NONE}
  - {name: d, envRef: EMPTY}
  - {name: e, envRef: \"APP HOST\"}
  - {name: f, envRef: \"\"}
  - {name: g, envRef: APP_HOST}
",
        &[
            "problem: f.yaml:8:5: metadata field `a`: components may not read the environment \
             variable `DAPR_API_TOKEN`; use a variable of another name",
            "problem: f.yaml:9:5: metadata field `b`: components may not read the environment \
             variable `APP_API_TOKEN`; use a variable of another name",
            "problem: f.yaml:10:5: metadata field `c`: the environment variable `NONE` is not \
             set, or empty; set it, or write `value: \"\"` if nothing is meant",
            "problem: f.yaml:11:5: metadata field `d`: the environment variable `EMPTY` is not \
             set, or empty; set it, or write `value: \"\"` if nothing is meant",
            "problem: f.yaml:12:5: metadata field `e`: `envRef` cannot be `APP HOST`; write the \
             name of an environment variable",
            "problem: f.yaml:13:5: metadata field `f`: `envRef` cannot be ``; write the name of \
             an environment variable",
        ],
    ),
    (
        "more than one source: a secret before a literal, a literal before a variable",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - {name: a, value: x, envRef: APP_HOST}
  - {name: b, value: x, secretKeyRef: {name: REDIS_PASSWORD}}
  - {name: c, value: x, secretKeyRef: {name: \"\", key: \"\"}}
  - {name: d, value: \"\", secretKeyRef: {name: REDIS_PASSWORD, key: REDIS_PASSWORD}}
auth: {secretStore: vault}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: vault}
spec: {type: secretstores.local.env}
",
        &[
            "warning: f.yaml:8:5: metadata field `a` has more than one source; keep one of \
             `value`, `envRef` and `secretKeyRef`",
            "warning: f.yaml:9:5: metadata field `b` has more than one source; keep one of \
             `value`, `envRef` and `secretKeyRef`",
            "store state.redis: a=x, b=hunter2, c=x, d=hunter2",
        ],
    ),
    (
        "a secret store without its file",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: vault}
spec:
  type: secretstores.local.file
  metadata:
  - {name: secretFile, value: none.json}
",
        &[
            "warning: f.yaml:8:5: unknown metadata field `secretFile`; did you mean `secretsfile`?",
            "problem: f.yaml:2:1: the secret store cannot be opened: metadata field \
             `secretsfile` is required; is `secretFile` meant to be it?",
        ],
    ),
    (
        "tabs",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
\tname: store
---
kind: Component
spec:
  type: state.redis
\tversion: v1
",
        &[
            "problem: f.yaml:5:2: this is not YAML: tabs disallowed within this context (block \
             indentation); indent with spaces",
            "problem: f.yaml:9:9: this is not YAML: while scanning a plain scalar, found a tab; \
             indent with spaces",
        ],
    ),
    (
        "a value with a colon and a space",
        "a: Server=db; Password: hunter2",
        &["problem: f.yaml:1:23: this is not YAML: mapping values are not allowed in this \
             context; put a value with `: ` in it in quotes, and check the indentation"],
    ),
    (
        "a value that begins with a reserved character",
        "a: @hunter2\n---\na: `hunter2`\n---\na: %hunter2",
        &[
            "problem: f.yaml:1:4: this is not YAML: unexpected character: `@'; put the value in \
             quotes",
            "problem: f.yaml:3:4: this is not YAML: unexpected character: ``'; put the value in \
             quotes",
            "problem: f.yaml:5:4: this is not YAML: unexpected character: `%'; put the value in \
             quotes",
        ],
    ),
    (
        "a value that begins with a star",
        "\na: *hunter2",
        &["problem: f.yaml:2:4: a value begins with `*`, which refers to an anchor, and there \
             is none of that name; put the value in quotes"],
    ),
    (
        "values that begin with an ampersand or an exclamation mark",
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisPassword
    value: &hunter2
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata:
  - name: redisPassword
    value: !hunter2
  - name: redisUsername
    value: !!str 12
",
        &[
            "warning: f.yaml:9:20: the value of `redisPassword` is empty; write `value: \"\"` if \
             it is meant to be; text that begins with `#` or `&` needs quotes",
            "problem: f.yaml:18:20: a value begins with `!`, which makes its first word a tag, \
             and none is known; put the value in quotes",
            "store state.redis: redisPassword=",
        ],
    ),
    (
        "quotes that do not end",
        "a: 'hunter2\n---\na: \"hunter2",
        &[
            "problem: f.yaml:1:4: this is not YAML: unclosed quote; end the value with the quote \
             it begins with",
            "problem: f.yaml:3:4: this is not YAML: unclosed quote; end the value with the quote \
             it begins with",
        ],
    ),
    (
        "a path of Windows in double quotes",
        "a: \"C:\\Windows\"",
        &["problem: f.yaml:1:4: this is not YAML: while parsing a quoted scalar, found unknown \
             escape character; use single quotes, in which `\\` means itself"],
    ),
    (
        "a template that was not rendered",
        "a: {{ .Values.password }}",
        &["problem: f.yaml:1:4: this is not YAML: a mapping cannot be a key; put a value that \
             begins with `{` in quotes; a template must be rendered first"],
    ),
    (
        "a list as a key",
        "? [a]\n: b",
        &["problem: f.yaml:1:1: this is not YAML: a list cannot be a key; put a value that \
             begins with `{` in quotes; a template must be rendered first"],
    ),
    (
        "broken indentation",
        "a: 1\n b: 2\n---\na:\n  b: 1\n c: 2",
        &[
            "problem: f.yaml:2:3: this is not YAML: mapping values are not allowed in this \
             context; put a value with `: ` in it in quotes, and check the indentation",
            "problem: f.yaml:6:2: this is not YAML: while parsing a block mapping, did not find \
             expected key; check the indentation of this line and the one before",
        ],
    ),
    (
        "documents that only three dots divide",
        "a: 1\n...\nb: 2",
        &["problem: f.yaml:3:1: another document begins after `...`; put a line of `---` \
             between documents"],
    ),
];
