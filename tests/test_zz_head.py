from frames import WebSocket, Handshake


def test_h(live):
    with WebSocket(live.app.port, headers={"X-Request-Id": "mine"}) as w:
        print(w.head)
    try:
        WebSocket(live.app.port, headers={"Origin": "https://evil.com"})
    except Handshake as e:
        print(e.head, e.body)
