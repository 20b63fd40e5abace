"""What the AsyncAPI document says beside what the code says: how to connect, what to expect."""

ABOUT = """The live side of Idyll: chat, and every change as it happens, over Socket.IO (protocol 5).

**Connecting.** `io(url, {auth: {token: accessToken}})`, or a header `Authorization: Bearer …`; never a query string.
The server is found at the default path `/socket.io` and at the path `/ws/chat`, by WebSocket and by long polling; at
each, the default namespace and the namespace `/ws/chat` behave alike. Whoever may not enter gets a `connect_error`
whose `data` is a problem object: 401 for the token, 403 for the account, 429 for too many sockets. People who wait for
their approval may connect, and hear only `user_updated` of themselves.

**When the token ends** the server says `token_expired` and closes: refresh it and connect again. Or emit `authenticate`
with the new one before that, and carry on.

**Acknowledgements.** Each event of yours is answered by the result, or by the problem object that REST would give: it
has a `code` to switch on. A refusal never closes the connection.

**Missed nothing.** Every event that is kept has an `eventId`. After a reconnect, emit `sync` with the last one that you
handled: what you missed comes in order, as far as you may still see it. An event may come twice, with the same
`eventId`. On `resync` you were away for too long: read the lists anew, and go on from its `lastEventId`. What is not
kept (typing, who is in a room, the end of a token) has no `eventId` and is never replayed.

**Sight.** You get what REST would show you at this moment. What comes into your sight comes as `…_created`; when it
drops out of your sight, one last `…_updated` says only that.

More fields and events may come, none goes or changes: ignore what you do not know."""
LOGIN = "The `accessToken` of a log-in: `io(url, {auth: {token}})`, or the header `Authorization: Bearer …`"
# Of Socket.IO: where the client finds the server, and which namespace it enters there.
PATHS = {"default": "/socket.io", "chat": "/ws/chat"}
NAMESPACES = {"default": "/", "chat": "/ws/chat"}
