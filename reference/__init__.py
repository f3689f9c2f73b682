"""What the documents say that the code knows: written from the code, and compared with it by the tests.

docstrings   what stands under the members of a class
schemas      docs/schemas: everything that is public JSON
asyncapi     docs/asyncapi.yaml: exchanges, queues, topics, messages
cli          docs/cli.md: every command
settings     docs/settings.md: every `BRH_*`
codes        docs/codes.md: every code, with what `told` says of it
pages        all of these as files
"""
