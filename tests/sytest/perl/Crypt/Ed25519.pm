# A substitute for the CPAN module of this name, which Debian does not package. It has the functions that sytest uses and
# makes the same keys and signatures with CryptX.

package Crypt::Ed25519;

use strict;
use warnings;

use Crypt::PK::Ed25519;
use Crypt::PRNG qw( random_bytes );

our $VERSION = '1.05';

sub eddsa_secret_key { random_bytes(32) }

sub eddsa_public_key {
    my ($secret) = @_;
    return Crypt::PK::Ed25519->new->import_key_raw( $secret, 'private' )->export_key_raw('public');
}

sub eddsa_sign {
    my ( $message, undef, $secret ) = @_;
    return Crypt::PK::Ed25519->new->import_key_raw( $secret, 'private' )->sign_message($message);
}

sub verify {
    my ( $message, $public, $signature ) = @_;
    return Crypt::PK::Ed25519->new->import_key_raw( $public, 'public' )->verify_message( $signature, $message );
}

1;
