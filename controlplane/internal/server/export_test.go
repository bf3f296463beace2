package server

import "github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"

// Fleet is what the servers of the data centers reported, as the leader knows it.
func (s *Server) Fleet() *fleet.Fleet { return s.engine.services.fleet }

// Leads says whether this replica leads in anything.
func (s *Server) Leads() bool {
	_, engine := s.engine.elector.Leading()
	_, keeper := s.housekeeping.elector.Leading()
	return engine || keeper
}
