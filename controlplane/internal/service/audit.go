package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/audit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// AuditConfig is what the service of the audit log needs.
type AuditConfig struct {
	Store  audit.Store
	Source change.Source
}

// Audit implements AuditService.
type Audit struct {
	breakwaterv1.UnimplementedAuditServiceServer
	cfg AuditConfig
}

// NewAudit makes the service of the audit log.
func NewAudit(cfg AuditConfig) *Audit { return &Audit{cfg: cfg} }

var _ breakwaterv1.AuditServiceServer = (*Audit)(nil)

// auditOpen opens the log of an account as every acknowledged change left it.
func (s *Audit) auditOpen(ctx context.Context, parent resource.Name) (*audit.Log, error) {
	for again := true; ; again = false {
		view, err := s.cfg.Source.Read(ctx)
		if err != nil {
			return nil, err
		}
		if err := accountMustExist(view, parent); err != nil {
			return nil, err
		}
		log, err := audit.Open(ctx, s.cfg.Store, view, parent.Tenant())
		if _, compacted := errors.AsType[*registry.CompactedError](err); !compacted || !again {
			return log, err
		}
	}
}

// ListAuditEvents implements AuditService: the newest first, those that wait to be chained
// among them.
func (s *Audit) ListAuditEvents(ctx context.Context, req *breakwaterv1.ListAuditEventsRequest) (*breakwaterv1.ListAuditEventsResponse, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.AuditEvent{}, listing.Options{Scope: parent.String()})
	if err != nil {
		return nil, err
	}
	log, err := s.auditOpen(ctx, parent)
	if err != nil {
		return nil, err
	}
	events, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.AuditEvent) bool) error {
		before := int64(0)
		if after != "" {
			// A token is checked against its query, so its place is one that was given out.
			if before, err = strconv.ParseInt(after, 10, 64); err != nil {
				return fmt.Errorf("service: place of an audit event: %w", err)
			}
		}
		return log.Descend(ctx, before, func(place int64, e *breakwaterv1.AuditEvent) bool {
			return yield(strconv.FormatInt(place, 10), e)
		})
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListAuditEventsResponse{AuditEvents: events, NextPageToken: next}, nil
}

// VerifyAuditEvents implements AuditService.
func (s *Audit) VerifyAuditEvents(ctx context.Context, req *breakwaterv1.VerifyAuditEventsRequest) (*breakwaterv1.VerifyAuditEventsResponse, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	log, err := s.auditOpen(ctx, parent)
	if err != nil {
		return nil, err
	}
	return log.Verify(ctx)
}

// ExportAuditEvents implements AuditService: the oldest first, so that whoever reads can
// verify the chain as it comes.
func (s *Audit) ExportAuditEvents(req *breakwaterv1.ExportAuditEventsRequest, stream grpc.ServerStreamingServer[breakwaterv1.AuditEvent]) error {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return err
	}
	q, err := listing.Parse(req, &breakwaterv1.AuditEvent{}, listing.Options{Scope: parent.String()})
	if err != nil {
		return err
	}
	log, err := s.auditOpen(stream.Context(), parent)
	if err != nil {
		return err
	}
	return log.Ascend(stream.Context(), func(e *breakwaterv1.AuditEvent) error {
		if !q.Matches(e) {
			return nil
		}
		return stream.Send(e)
	})
}
