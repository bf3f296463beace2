package server

import "github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"

// Fleet is what the servers of the data centers reported, as the leader knows it.
func (s *Server) Fleet() *fleet.Fleet { return s.engine.services.fleet }
