"""The engine: sockets, epoll and the timer of one worker; the only code that owns descriptors.

    poll()   reads what is ready, settles answers   -> are there complete requests?
    (scan, sample, assign, split: the pipeline, one call per stage and tick)
    flush()  starts calls, answers requests, sends   -> does Python have to look at something?

The event loop watches one descriptor, the engine's own epoll (`fileno`), and calls in once per turn.  Nothing here
blocks; reading is bounded per connection and turn, so that one sender cannot keep the others waiting.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from _output cimport drop_unsent
from _posix cimport *
from _work cimport *
from sidecar._native.ages cimport jittered, sweep_clients, sweep_servers
from sidecar._native.answer cimport server_reply
from sidecar._native.backends cimport find_backend, set_backend_up
from sidecar._native.batch cimport release_parked
from sidecar._native.client cimport client_close, client_feed, client_open
from sidecar._native.core cimport WorkerCore
from sidecar._native.deadlines cimport sweep, under_way
from sidecar._native.fate cimport figures_of
from sidecar._native.outbox cimport ROUND_DUE, dispatch, dispatch_turn, settle
from sidecar._native.scan cimport Tick
from sidecar._native.server cimport server_close, server_drain, server_eof, server_feed, server_open, server_relieve
from sidecar._native.sockets cimport conn_new, flush_dirty, set_no_delay, watch

cdef enum:
    EVENTS = 128              # of one epoll_wait
    READ_BYTES = 65536
    READS = 4                 # per connection and turn
    SWEEP_NS = 25000000       # while parts are under way
    REST_NS = 500000000       # otherwise: ages, keepalive

BACKEND_UP = 1
BACKEND_LOST = 2              # the connection in use broke
BACKEND_GOAWAY = 3            # a new connection is needed, the old one still answers
BACKEND_REFUSED = 4           # the connection did not come about

cdef enum EventKind:
    EVENT_UP = 1
    EVENT_LOST = 2
    EVENT_GOAWAY = 3
    EVENT_REFUSED = 4

cdef class Engine:
    """The sockets of one worker.  `tick` is what the stages of the pipeline work on."""

    def __cinit__(self, WorkerCore core):
        self.ep = -1
        self.owner = core
        self.core = core.c
        self.tick = Tick(core)
        self.buffer = <uint8_t*>malloc(READ_BYTES)
        self.timer = <Conn*>calloc(1, sizeof(Conn))
        self.pacer = <Conn*>calloc(1, sizeof(Conn))
        self.ep = epoll_create1(EPOLL_CLOEXEC)
        if self.buffer == NULL or self.timer == NULL or self.pacer == NULL or self.ep < 0:
            raise OSError("cannot set up epoll")
        self.open_timer(self.timer)
        self.open_timer(self.pacer)
        self.events_list = []

    cdef void open_timer(self, Conn* timer) noexcept nogil:
        timer.kind = CONN_TIMER
        timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        watch(self.ep, EPOLL_CTL_ADD, timer, EPOLLIN)

    def fileno(self):
        """The descriptor for the event loop: readable when a turn is due."""
        return self.ep

    # -------------------------------------------------------------- sockets in

    def listen(self, int fd):
        """Accepts on a bound, listening, non-blocking socket from now on; the descriptor belongs to the engine."""
        cdef Conn* c = conn_new(self.core, fd, CONN_LISTENER)
        if c == NULL:
            raise MemoryError
        c.next = self.listeners
        self.listeners = c
        watch(self.ep, EPOLL_CTL_ADD, c, EPOLLIN)
        self.arm(REST_NS)

    def connect(self, uint32_t slot, int fd):
        """A non-blocking socket whose connect() has begun becomes the connection to the backend of a slot.

        The descriptor belongs to the engine; events() tells how it ends.
        """
        cdef Backend* backend = find_backend(self.core, slot)
        cdef Conn* c
        if backend == NULL or backend.conn != NULL:
            raise LookupError(f"backend {slot} is not known, or connected")
        c = conn_new(self.core, fd, CONN_CLIENT)
        if c == NULL:
            raise MemoryError
        set_no_delay(fd)
        c.connecting = 1
        c.backend = backend
        c.expires_ns = self.core.now_ns + 5000000000
        backend.conn = c
        conn_link(&self.core.clients, c)
        watch(self.ep, EPOLL_CTL_ADD, c, EPOLLOUT)

    cdef void accept(self, Conn* listener) noexcept nogil:
        cdef Core* core = self.core
        cdef Conn* c
        cdef int fd, i
        for i in range(EVENTS):
            if core.nservers >= core.max_connections:
                self.pause_accepting(True)
                return
            fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                    core.ledger.page.worker.accept_errors += 1
                    self.pause_accepting(True)
                if errno != ECONNABORTED:
                    return
                continue
            set_no_delay(fd)
            c = conn_new(core, fd, CONN_SERVER)
            if c == NULL or not server_open(c):
                close(fd)
                free(c)
                return
            c.expires_ns = core.now_ns + jittered(core, core.max_age_ns)
            conn_link(&core.servers, c)
            core.nservers += 1
            core.ledger.page.worker.accepted += 1
            watch(self.ep, EPOLL_CTL_ADD, c, EPOLLIN)

    cdef void pause_accepting(self, bint pause) noexcept nogil:
        """Out of descriptors or at the limit: clients wait in the backlog until the next sweep."""
        cdef Conn* c = self.listeners
        self.paused = pause
        while c != NULL:
            watch(self.ep, EPOLL_CTL_MOD, c, 0 if pause else EPOLLIN)
            c = c.next

    # -------------------------------------------------------------- a turn

    def poll(self):
        """Reads all that is ready and settles answers; whether requests are complete."""
        with nogil:
            self.read_ready()
            settle(self.core)
        return self.core.ready != NULL

    def ready(self):
        """Whether more requests are complete than the last tick took; full batches leave meanwhile."""
        with nogil:
            dispatch(self.core, ROUND_DUE)
        return self.core.ready != NULL

    def flush(self):
        """Starts calls, answers and sends; whether `events` or failed calls wait for Python."""
        cdef Core* core = self.core
        with nogil:
            if dispatch_turn(core):
                self.pace()
            while core.replies != NULL or core.dirty != NULL or core.dead != NULL:
                server_reply(core)
                flush_dirty(core, self.ep)
                self.reap()
                settle(core)
            if not self.fast and under_way(core):
                self.arm(SWEEP_NS)
        return core.failed.head != NULL or self.nevents or core.ready != NULL

    def events(self):
        """What became of connections to backends since the last call: [(slot, BACKEND_*, errno or 0)]."""
        cdef list events = self.events_list
        self.events_list = []
        self.nevents = 0
        return events

    cdef void event(self, uint32_t slot, int kind, int error) noexcept with gil:
        self.events_list.append((slot, kind, error))
        self.nevents += 1

    cdef void read_ready(self) noexcept nogil:
        cdef epoll_event events[EVENTS]
        cdef Core* core = self.core
        cdef Conn* c
        cdef uint64_t fired
        cdef int i, n
        core.now_ns = monotonic_ns()
        core.ledger.page.worker.turns += 1
        n = epoll_wait(self.ep, events, EVENTS, 0)
        for i in range(n):
            c = <Conn*>events[i].data.ptr
            if c.dead:
                continue
            if c.kind == CONN_LISTENER:
                self.accept(c)
            elif c == self.pacer:     # the turn that it begins starts the round
                read(c.fd, &fired, 8)
                self.pacing = False
            elif c.kind == CONN_TIMER:
                self.on_timer()
            elif c.connecting:
                self.connected(c)
            else:
                if events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR):
                    if c.eof:
                        mark_dead(c)
                    else:
                        self.read_conn(c)
                if events[i].events & EPOLLOUT:
                    mark_dirty(c)

    cdef void read_conn(self, Conn* c) noexcept nogil:
        cdef ssize_t n, used
        cdef int i
        for i in range(READS):
            n = recv(c.fd, self.buffer, READ_BYTES, 0)
            if n < 0:
                if errno != EAGAIN and errno != EINTR:
                    c.error = errno
                    mark_dead(c)
                return
            if n == 0:
                self.on_eof(c)
                return
            c.heard_ns = self.core.now_ns
            if c.kind == CONN_SERVER:
                used = server_feed(c, self.buffer, n)
            else:
                used = client_feed(c, self.buffer, n)
                if c.settled and not c.announced and c.backend.conn == c and not c.backend.leaving:
                    c.announced = 1
                    set_backend_up(self.core, c.backend, True)
                    self.event(c.backend.slot, EVENT_UP, 0)
                if c.draining:
                    mark_dirty(c)     # its last call may have ended
                    if c.backend.conn == c:
                        c.backend.conn = NULL
                        self.event(c.backend.slot, EVENT_GOAWAY, 0)
            if used < 0:
                c.closing = CUT_OFF   # what the session has to say (GOAWAY) goes out first
                mark_dirty(c)
                return
            if n < READ_BYTES:
                return

    cdef void on_eof(self, Conn* c) noexcept nogil:
        """A client that has closed its side still gets the answers to what it sent."""
        if c.kind == CONN_SERVER and c.nopen:
            server_eof(c)
        else:
            mark_dead(c)

    cdef void connected(self, Conn* c) noexcept nogil:
        cdef int error = 0
        cdef socklen_t n = sizeof(error)
        if getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 or error != 0 or not client_open(c):
            c.error = error
            mark_dead(c)
            return
        c.connecting = 0
        c.heard_ns = self.core.now_ns
        figures_of(self.core, c.backend).connects += 1
        watch(self.ep, EPOLL_CTL_MOD, c, EPOLLIN)

    cdef void reap(self) noexcept nogil:
        """Closes what has died; nothing of this turn names it any more."""
        cdef Core* core = self.core
        cdef Conn* c
        cdef Backend* backend
        while core.dead != NULL:
            c = core.dead
            core.dead = c.next_dead
            if c.dirty:               # still in the list: the flush loop passes it by, then it is reaped
                c.next_dead = core.dead
                core.dead = c
                return
            epoll_ctl(self.ep, EPOLL_CTL_DEL, c.fd, NULL)
            close(c.fd)
            drop_unsent(c)
            if c.kind == CONN_SERVER:
                server_close(c)
                conn_unlink(&core.servers, c)
                core.nservers -= 1
            else:
                backend = c.backend
                client_close(c)
                conn_unlink(&core.clients, c)
                if backend.conn == c:
                    backend.conn = NULL
                    set_backend_up(core, backend, False)
                    self.event(backend.slot, EVENT_REFUSED if not c.settled else EVENT_LOST, c.error)
            release_parked(c)
            free(c)

    # -------------------------------------------------------------- time

    cdef void pace(self) noexcept nogil:
        """Begins a turn when the next round of small calls is due."""
        cdef itimerspec t
        cdef int64_t left_ns = self.core.dispatched_ns + self.core.pacing_ns - self.core.now_ns
        if not self.pacing:
            memset(&t, 0, sizeof(t))
            t.it_value.tv_nsec = left_ns if left_ns > 1000 else 1000
            timerfd_settime(self.pacer.fd, 0, &t, NULL)
            self.pacing = True

    cdef void set_timer(self, int64_t period_ns) noexcept nogil:
        cdef itimerspec t
        t.it_interval.tv_sec = t.it_value.tv_sec = period_ns // 1000000000
        t.it_interval.tv_nsec = t.it_value.tv_nsec = period_ns % 1000000000
        timerfd_settime(self.timer.fd, 0, &t, NULL)

    cdef void arm(self, int64_t period_ns) noexcept nogil:
        self.fast = period_ns == SWEEP_NS
        self.set_timer(period_ns)

    cdef void on_timer(self) noexcept nogil:
        cdef uint64_t fired
        cdef Core* core = self.core
        read(self.timer.fd, &fired, 8)
        sweep(core)
        server_relieve(core)
        if core.now_ns - self.rested_ns >= REST_NS:
            self.rested_ns = core.now_ns
            sweep_servers(core)
            sweep_clients(core)
            if self.paused and core.nservers < core.max_connections:
                self.pause_accepting(False)
        if self.fast and not under_way(core):
            self.arm(REST_NS)

    # -------------------------------------------------------------- the end

    def disconnect(self, uint32_t slot):
        """Closes the connection to a backend; open calls end as lost."""
        cdef Backend* backend = find_backend(self.core, slot)
        if backend != NULL and backend.conn != NULL:
            mark_dead(backend.conn)

    def serve(self, bint serving):
        """What grpc.health.v1 answers."""
        self.core.serving = serving

    def drain(self):
        """Stops accepting and asks all clients to go: GOAWAY, and everything that comes is still answered."""
        cdef Conn* c
        self.core.draining = 1
        self.core.serving = 0
        while self.listeners != NULL:
            c = self.listeners
            self.accept(c)            # who is in the backlog is served too
            self.listeners = c.next
            epoll_ctl(self.ep, EPOLL_CTL_DEL, c.fd, NULL)
            close(c.fd)
            free(c)
        c = self.core.servers
        while c != NULL:
            server_drain(c)
            c = c.next

    def connections(self):
        """Client connections that are open."""
        return self.core.nservers

    def close(self):
        """Closes every descriptor; what is still under way ends as lost."""
        cdef Conn* c
        if self.ep < 0:
            return
        self.drain()
        c = self.core.servers
        while c != NULL:
            mark_dead(c)
            c = c.next
        c = self.core.clients
        while c != NULL:
            mark_dead(c)
            c = c.next
        self.core.dirty = NULL
        c = self.core.dead
        while c != NULL:
            c.dirty = 0
            c = c.next_dead
        self.reap()
        close(self.timer.fd)
        close(self.pacer.fd)
        close(self.ep)
        self.ep = -1

    def __dealloc__(self):
        if self.ep >= 0:
            close(self.timer.fd)
            close(self.pacer.fd)
            close(self.ep)
        free(self.timer)
        free(self.pacer)
        free(self.buffer)
