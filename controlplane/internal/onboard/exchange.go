package onboard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the largest answer asked for over UDP: what crosses every network unbroken
// (DNS flag day 2020).
const udpSize = 1232

// errMalformed says that what came back is no answer to the question.
var errMalformed = errors.New("onboard: malformed answer")

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// exchange puts one question to one server: over UDP with EDNS0, without EDNS0 if the server
// does not know it, over TCP if the answer is truncated.
func (c *Checker) exchange(ctx context.Context, dial dialFunc, server, name string, qtype uint16, recurse bool) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.RecursionDesired = recurse
	q.SetEdns0(udpSize, false)
	answer, err := c.once(ctx, dial, "udp", server, q)
	if err == nil && answer.IsEdns0() == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		q.Extra = nil
		q.Id = dns.Id()
		answer, err = c.once(ctx, dial, "udp", server, q)
	}
	if err == nil && answer.Truncated {
		q.Id = dns.Id()
		answer, err = c.once(ctx, dial, "tcp", server, q)
	}
	return answer, err
}

// once sends q and waits for its answer, at most for the configured time.
func (c *Checker) once(ctx context.Context, dial dialFunc, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	conn, err := dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // the answer is read or given up
	// The context's end, for whatever reason, wakes a blocked read or write.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	packed, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("onboard: question for %s: %w", q.Question[0].Name, err)
	}
	if network == "tcp" {
		return overTCP(conn, packed, q)
	}
	return overUDP(conn, packed, q)
}

// overUDP skips packets that are not the answer, which anyone can send, until time is up.
func overUDP(conn net.Conn, packed []byte, q *dns.Msg) (*dns.Msg, error) {
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buf := make([]byte, dns.MaxMsgSize)
	var last error
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if last != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, last
			}
			return nil, err
		}
		answer, err := decode(buf[:n], q)
		if err == nil {
			return answer, nil
		}
		last = err
	}
}

func overTCP(conn net.Conn, packed []byte, q *dns.Msg) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(packed)+2), uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	return decode(buf, q)
}

// decode accepts a message only as the answer to q: same ID, same question.
func decode(raw []byte, q *dns.Msg) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		// A truncated answer may end in the middle of a record; its header is enough.
		if !m.Truncated || len(m.Question) == 0 {
			return nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		m.Answer, m.Ns, m.Extra = nil, nil, nil
	}
	if m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil, fmt.Errorf("%w: not a response to the question", errMalformed)
	}
	// Servers that refuse the format may leave the question out.
	if len(m.Question) == 0 && m.Rcode == dns.RcodeFormatError {
		return m, nil
	}
	want := q.Question[0]
	if len(m.Question) != 1 || m.Question[0].Qtype != want.Qtype || m.Question[0].Qclass != want.Qclass ||
		!strings.EqualFold(m.Question[0].Name, want.Name) {
		return nil, fmt.Errorf("%w: it answers another question", errMalformed)
	}
	return m, nil
}

// failure classifies an error of exchange.
func failure(err error) Kind {
	var timeout net.Error
	switch {
	case errors.Is(err, errMalformed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Malformed
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Unreachable
}
