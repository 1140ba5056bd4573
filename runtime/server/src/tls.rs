//! TLS 1.2 and 1.3 with `rustls` and `ring`, and client certificates where the configuration names who issues them.

use crate::config::Tls;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use yunei_policy::Refusal;

fn fault(path: &Path, zh: &str, en: &str) -> Refusal {
    Refusal::new("server/tls", zh, en).at(path.display().to_string())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(fault(path, "证书无法读取", "the certificate can not be read")),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Refusal> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|_| fault(path, "签发机构证书不可用", "the authority's certificate can not be used"))?;
    }
    Ok(roots)
}

/// What turns a connection into a TLS one.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Refusal> {
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|_| fault(&tls.key, "私钥无法读取", "the private key can not be read"))?;
    let provider = Arc::new(default_provider());
    let unfit = || fault(&tls.certificate, "证书与私钥不匹配", "certificate and key do not fit each other");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| unfit())?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
            let verifier = if tls.client_required { verifier } else { verifier.allow_unauthenticated() }
                .build()
                .map_err(|_| fault(path, "签发机构证书不可用", "the authority's certificate can not be used"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|_| unfit())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a client trusts, and which certificate it shows.
pub(crate) fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Refusal> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| fault(ca, "TLS 不可用", "TLS can not be used"))?
        .with_root_certificates(roots(ca)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|_| fault(key, "私钥无法读取", "the private key can not be read"))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|_| fault(certificate, "证书与私钥不匹配", "certificate and key do not fit each other"))?
        }
    };
    Ok(Arc::new(config))
}
