# For those who have an engine: the same image as `make image`, from the same static binary.
#
#   make docker-build IMG=registry.example.com/ecs-password-reset:0.1.0
#
# It compiles nothing: its context is dist/image/context, which `make image` leaves with the binary of each platform, the CA
# certificates and the licences.
FROM scratch
ARG TARGETARCH=amd64
COPY linux-${TARGETARCH}/ecs-password-reset /ecs-password-reset
COPY root/ /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/ecs-password-reset"]
