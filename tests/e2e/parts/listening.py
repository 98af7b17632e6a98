"""A server on loopback: each connection is served by a thread of its own, and all are cut at its end."""
import socket
import threading


class Listening:
    """serve(connection), of whoever inherits this, may end as it likes: an error of the socket is the end of that connection alone."""

    def __init__(self, port=0, backlog=64):
        self.lock = threading.Lock()
        self.open = True
        self.connections = set()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if not self.open:
                    connection.close()
                    return
                self.connections.add(connection)
            threading.Thread(target=self.attend, args=(connection,), daemon=True).start()

    def attend(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass
        finally:
            connection.close()
            with self.lock:
                self.connections.discard(connection)

    def close(self):
        """Gone: no listener, and every connection cut."""
        with self.lock:
            self.open = False
            ends = [self.listener, *self.connections]
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    def stop(self):
        self.close()
