import time
from live import environment
def test_speed(live):
    there = live.start(CHAT_FLOOD_LIMIT="100000")
    people = [live.people.editor() for _ in range(20)]
    cs = [there.connect(p) for p in people]
    for c in cs[:5]: c.emit("join_room")
    for _ in range(2):
        t = time.monotonic()
        fs = [c.send("send_message", {"message": f"{i}", "clientId": f"{_}.{i}"}, timeout=60) for i in range(40) for c in cs]
        [f.result(80) for f in fs]
        print("RATE", 800 / (time.monotonic() - t))
