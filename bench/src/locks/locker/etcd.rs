//! etcd's lock API, over gRPC.

mod messages;

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use self::messages::{
    LeaseGrantRequest, LeaseGrantResponse, LockRequest, LockResponse, UnlockRequest, UnlockResponse,
};
use crate::servers;

/// In seconds: longer than any run, so that nobody has to be kept alive.
const LEASE: i64 = 86_400;

#[derive(Debug)]
pub struct Etcd {
    grpc: Grpc<Channel>,
    /// Who the client is: a lock is its lease's.
    lease: i64,
    /// What stands for the lock that it holds.
    held: Vec<u8>,
}

impl Etcd {
    pub async fn connect(server: &servers::Etcd) -> Result<Etcd> {
        let channel = Endpoint::from_shared(server.url())?.connect().await?;
        let mut grpc = Grpc::new(channel);
        let request = LeaseGrantRequest { ttl: LEASE };
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let reply: LeaseGrantResponse = call(&mut grpc, path, request).await?;
        Ok(Etcd {
            grpc,
            lease: reply.id,
            held: Vec::new(),
        })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        let request = LockRequest {
            name: key.as_bytes().to_vec(),
            lease: self.lease,
        };
        let reply: LockResponse = call(&mut self.grpc, "/v3lockpb.Lock/Lock", request).await?;
        self.held = reply.key;
        Ok(())
    }

    pub async fn release(&mut self) -> Result<()> {
        let key = std::mem::take(&mut self.held);
        let request = UnlockRequest { key };
        let _: UnlockResponse = call(&mut self.grpc, "/v3lockpb.Lock/Unlock", request).await?;
        Ok(())
    }
}

async fn call<Q, A>(grpc: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    grpc.ready().await?;
    let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
    let reply = grpc.unary(Request::new(request), path, codec).await;
    Ok(reply.context("etcd")?.into_inner())
}
