//! Where the ECS and the STS of a region are reached. Builds addresses only; opens nothing.
//!
//! A password is sent to the host that is named here, so a region ID that is not a plain word is refused: it would
//! otherwise choose the host.

use std::net::{IpAddr, Ipv4Addr};

use http::Uri;
use reqwest::Url;

/// The addresses of one region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegionEndpoint {
    /// The region, for example `cn-hangzhou`.
    pub region_id: String,
    /// Address of ECS: scheme and host, no path.
    pub ecs_url: String,
    /// Address of STS: scheme and host, no path.
    pub sts_url: String,
    /// Whether the address serves more than this region, or may do so: then every call must name its region.
    /// `ModifyInstanceAttribute` and `RebootInstance` otherwise act on the region of the host.
    pub names_region: bool,
}

/// An endpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The region would not make a host name.
    #[error("the region ID must consist of lower-case letters, digits and '-', as in cn-hangzhou")]
    Region,
    /// The address is one that a cloud keeps for its metadata service, which hands credentials to whoever asks.
    #[error("an endpoint must not be a link-local or metadata address")]
    Metadata,
    /// The address of a private gateway is not just scheme and host.
    #[error("an endpoint must be https:// (or http://) and a host, without user, path or query")]
    Url,
    /// A network of another version of this API.
    #[error("endpoint.network has a value that this version of the controller does not know; it must be Public or VPC")]
    Network,
}

impl RegionEndpoint {
    /// The address on the Internet.
    ///
    /// The pattern is `ecs.<region>.aliyuncs.com`; the exceptions are those of the official SDK's endpoint map, but for its
    /// internal regions (the API metadata has two more, us-east-1 and us-west-1, which the SDK reaches by the pattern).
    /// `tests/data/ecs-endpoints.tsv` has all of them. STS is the central one, which answers for every region.
    pub fn public(region_id: &str) -> Result<Self, EndpointError> {
        let (ecs_url, names_region) = match check_region(region_id)? {
            "cn-hangzhou" | "cn-shanghai-finance-1" | "cn-shenzhen-finance-1" => {
                ("https://ecs-cn-hangzhou.aliyuncs.com".to_owned(), true)
            }
            "cn-north-2-gov-1" | "cn-hangzhou-finance" => ("https://ecs.aliyuncs.com".to_owned(), true),
            region => (format!("https://ecs.{region}.aliyuncs.com"), false),
        };
        let sts_url = "https://sts.aliyuncs.com".to_owned();
        Ok(Self { region_id: region_id.to_owned(), ecs_url, sts_url, names_region })
    }

    /// The address inside a VPC, which answers for its own region only. Not every region has an STS there.
    pub fn vpc(region_id: &str) -> Result<Self, EndpointError> {
        let region = check_region(region_id)?;
        Ok(Self {
            region_id: region.to_owned(),
            ecs_url: format!("https://ecs-vpc.{region}.aliyuncs.com"),
            sts_url: format!("https://sts-vpc.{region}.aliyuncs.com"),
            names_region: false,
        })
    }

    /// A private gateway; STS is asked at the same address unless it has one of its own.
    ///
    /// Whether plain `http` is really spoken is the transport's decision, not this one's.
    pub fn custom(region_id: &str, url: &str, sts_url: Option<&str>) -> Result<Self, EndpointError> {
        let region_id = check_region(region_id)?.to_owned();
        let ecs_url = check_url(url)?;
        let endpoint = Self { region_id, sts_url: ecs_url.clone(), ecs_url, names_region: true };
        match sts_url {
            Some(url) => endpoint.with_sts(url),
            None => Ok(endpoint),
        }
    }

    /// The same with another address of STS.
    pub fn with_sts(self, url: &str) -> Result<Self, EndpointError> {
        Ok(Self { sts_url: check_url(url)?, ..self })
    }
}

fn check_region(region_id: &str) -> Result<&str, EndpointError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=63).contains(&region_id.len()) && region_id.bytes().all(plain);
    if fits { Ok(region_id) } else { Err(EndpointError::Region) }
}

fn check_url(url: &str) -> Result<String, EndpointError> {
    let uri: Uri = url.parse().map_err(|_| EndpointError::Url)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(EndpointError::Url);
    };
    // The host as it is going to be dialled: there, `0x646464c8` and `1684301000` are addresses too.
    let dialled = Url::parse(url).map_err(|_| EndpointError::Url)?;
    if dialled.host_str().is_none_or(is_metadata) {
        return Err(EndpointError::Metadata);
    }
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    if bare && matches!(scheme, "https" | "http") {
        Ok(format!("{scheme}://{authority}"))
    } else {
        Err(EndpointError::Url)
    }
}

/// `100.100.100.200` is Alibaba Cloud's, `169.254.0.0/16` and `fe80::/10` everybody else's.
fn is_metadata(host: &str) -> bool {
    let is_metadata_v4 = |address: Ipv4Addr| address.is_link_local() || address.octets() == [100, 100, 100, 200];
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => is_metadata_v4(address),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(is_metadata_v4)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_is_not_a_metadata_service() {
        let hosts = [
            "100.100.100.200",
            "100.100.100.200:80",
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:100.100.100.200]",
            "1684301000",
            "100.100.25800",
            "0x646464c8",
            "100.100.100.0xc8",
            "0144.0144.0144.0310",
        ];
        for host in hosts {
            let endpoint = RegionEndpoint::custom("cn-hangzhou", &format!("https://{host}"), None);
            assert_eq!(endpoint, Err(EndpointError::Metadata), "{host}");
            let sts = RegionEndpoint::custom("cn-hangzhou", "https://ok.example", Some(&format!("https://{host}")));
            assert_eq!(sts, Err(EndpointError::Metadata), "{host}");
        }
        assert!(RegionEndpoint::custom("cn-hangzhou", "https://10.0.0.1:8443", None).is_ok());
    }

    fn ecs_url(region_id: &str) -> String {
        RegionEndpoint::public(region_id).unwrap().ecs_url
    }

    #[test]
    fn public_addresses_follow_the_pattern_and_its_exceptions() {
        assert_eq!(ecs_url("eu-central-1"), "https://ecs.eu-central-1.aliyuncs.com");
        assert_eq!(ecs_url("us-east-1"), "https://ecs.us-east-1.aliyuncs.com");
        assert_eq!(ecs_url("cn-hangzhou"), "https://ecs-cn-hangzhou.aliyuncs.com");
        assert_eq!(ecs_url("cn-shanghai-finance-1"), "https://ecs-cn-hangzhou.aliyuncs.com");
        assert_eq!(ecs_url("cn-north-2-gov-1"), "https://ecs.aliyuncs.com");
        assert_eq!(ecs_url("cn-hangzhou-finance"), "https://ecs.aliyuncs.com");
    }

    /// The published names, and what this does with those that it leaves out: see the head of the file.
    fn published() -> impl Iterator<Item = [&'static str; 4]> {
        let text = include_str!("../../tests/data/ecs-endpoints.tsv");
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        rows.map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap())
    }

    #[test]
    fn addresses_equal_the_published_ones() {
        let rows: Vec<_> = published().collect();
        assert!(rows.len() > 70, "{} rows", rows.len());
        for [region, ecs, ecs_vpc, sts_vpc] in rows {
            let (public, vpc) = (RegionEndpoint::public(region).unwrap(), RegionEndpoint::vpc(region).unwrap());
            if let Some(internal) = ecs.strip_prefix("internal:") {
                assert_ne!(public.ecs_url, format!("https://{internal}"), "{region} is served: drop its mark");
            } else {
                assert_eq!(public.ecs_url, format!("https://{ecs}"));
                // A name without the region in it serves several: then the call has to say which.
                assert_eq!(public.names_region, ecs != format!("ecs.{region}.aliyuncs.com"), "{region}");
            }
            for (published, ours) in [(ecs_vpc, vpc.ecs_url), (sts_vpc, vpc.sts_url)] {
                assert!(published == "-" || ours == format!("https://{published}"), "{region}: {published}");
            }
        }
    }

    #[test]
    fn regions_without_sts_in_a_vpc_are_documented() {
        let accounts = include_str!("../../docs/ACCOUNTS.md");
        let list = accounts.split_once("no `sts-vpc` name:").unwrap().1.split_once('.').unwrap().0;
        let mut documented: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        documented.sort_unstable();
        let lacks_sts =
            |[region, _, ecs_vpc, sts_vpc]: [&'static str; 4]| (ecs_vpc != "-" && sts_vpc == "-").then_some(region);
        let mut published: Vec<&str> = published().filter_map(lacks_sts).collect();
        published.sort_unstable();
        assert_eq!(documented, published);
    }

    #[test]
    fn another_sts_is_held_to_the_rules_of_a_gateway() {
        let vpc = || RegionEndpoint::vpc("cn-zhongwei").unwrap();
        let elsewhere = vpc().with_sts("https://sts-vpc.cn-beijing.aliyuncs.com").unwrap();
        assert_eq!(
            elsewhere,
            RegionEndpoint { sts_url: "https://sts-vpc.cn-beijing.aliyuncs.com".to_owned(), ..vpc() }
        );
        assert_eq!(vpc().with_sts("https://100.100.100.200"), Err(EndpointError::Metadata));
        assert_eq!(vpc().with_sts("https://sts.example/path"), Err(EndpointError::Url));
    }

    #[test]
    fn only_addresses_of_several_regions_name_the_region() {
        assert!(RegionEndpoint::public("cn-shenzhen-finance-1").unwrap().names_region);
        assert!(!RegionEndpoint::public("eu-central-1").unwrap().names_region);
        assert!(!RegionEndpoint::vpc("cn-hangzhou").unwrap().names_region);
        assert!(RegionEndpoint::custom("cn-hangzhou", "https://gateway.example", None).unwrap().names_region);
    }

    #[test]
    fn a_region_cannot_choose_the_host() {
        for region in ["", "evil.example/", "x.evil", "a@b", "CN-HANGZHOU", "a#", "a:1"] {
            assert_eq!(RegionEndpoint::public(region), Err(EndpointError::Region), "{region}");
            assert_eq!(RegionEndpoint::vpc(region), Err(EndpointError::Region), "{region}");
        }
    }

    #[test]
    fn a_gateway_is_scheme_and_host_only() {
        let endpoint = RegionEndpoint::custom("cn-hangzhou", "https://gateway.example:8443/", None).unwrap();
        assert_eq!(endpoint.ecs_url, "https://gateway.example:8443");
        assert_eq!(endpoint.sts_url, endpoint.ecs_url);
        for url in ["gateway", "ftp://a", "https://u:p@a", "https://a/path", "https://a/?x", "https://", "/"] {
            assert_eq!(RegionEndpoint::custom("cn-hangzhou", url, None), Err(EndpointError::Url), "{url}");
        }
    }
}
